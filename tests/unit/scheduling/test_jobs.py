# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A job as a playbook hands it over, in every form that a value may have."""

from __future__ import annotations

from typing import Any

import pytest

from blksync.scheduling.jobs import ScheduledJob, read_jobs, schedules

TRAVEL: dict[str, Any] = {"name": "travel", "source": "11111111", "target": "22222222"}


def read(**values: Any) -> ScheduledJob:
    jobs, errors = read_jobs([{**TRAVEL, **values}])
    assert errors == []
    (job,) = jobs
    return job


def problems(*jobs: Any) -> list[str]:
    _found, errors = read_jobs(list(jobs))
    assert errors
    return [str(error) for error in errors]


@pytest.mark.parametrize("text", ["false", "no", "OFF", "0", 0, False, " False "])
def test_every_way_to_write_false(text: Any) -> None:
    job = read(on_plug=text, notify=text, compare=text)
    assert (job.on_plug, job.content["notify"], job.content["compare"]) == (False, False, False)


@pytest.mark.parametrize("text", ["true", "yes", "On", "1", 1, True])
def test_every_way_to_write_true(text: Any) -> None:
    job = read(on_plug=text, notify=text)
    assert (job.on_plug, job.content["notify"]) == (True, True)


@pytest.mark.parametrize("text", ["600", 600, " 600 ", 600.0, "600.0"])
def test_every_way_to_write_a_number(text: Any) -> None:
    assert read(quiesce_timeout=text).content["quiesce_timeout"] == 600


@pytest.mark.parametrize("nothing", [None, ""])
def test_null_and_empty_text_are_not_given(nothing: Any) -> None:
    keys = (
        "schedule",
        "on_plug",
        "on_success",
        "textfile_dir",
        "engine",
        "partitions",
        "max_age",
        "notify",
        "protected",
    )
    job = read(**dict.fromkeys(keys, nothing))
    assert job == read()
    assert job.content == {
        "version": 1,
        "name": "travel",
        "source": "11111111",
        "targets": [{"identifier": "22222222"}],
    }


@pytest.mark.parametrize(
    "units", ["a.service,b.target", ["a.service", "b.target"], "a.service, b.target", ("a.service", "b.target")]
)
def test_units_are_a_list_or_a_text_with_commas(units: Any) -> None:
    assert read(on_success=units).on_success == ("a.service", "b.target")


@pytest.mark.parametrize(
    ("age", "in_seconds"),
    [(60, 60), ("90", 90), ("90s", 90), ("15m", 900), ("36h", 129600), ("10d", 864000), ("2w", 1209600)],
)
def test_max_age(age: Any, in_seconds: int) -> None:
    assert read(max_age=age).content["max_age"] == in_seconds


@pytest.mark.parametrize(
    "target",
    [
        ["22222222", {"identifier": "33333333", "serial": "S3"}],
        [{"identifier": "22222222"}, {"identifier": "33333333", "serial": "S3"}],
    ],
)
def test_targets(target: Any) -> None:
    assert [(each.identifier, each.serial) for each in read(target=target).job.targets] == [
        ("22222222", None),
        ("33333333", "S3"),
    ]


def test_the_engine_of_jobs_that_name_none() -> None:
    jobs, errors = read_jobs([TRAVEL, {**TRAVEL, "name": "own", "engine": "native"}], "blocksync_fast")
    assert errors == []
    assert [job.content["engine"] for job in jobs] == ["blocksync_fast", "native"]


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"source": 11111111}, "quote it"),
        ({"target": None}, "targets is missing"),
        ({"target": []}, "targets is empty"),
        ({"target": "/dev/sdb"}, "is a name that the kernel gives to another disk"),
        ({"source": "/dev//sda"}, "source: /dev/sda is a name that the kernel gives to another disk"),
        ({"protected": ["/dev/nvme0n1"]}, "protected[0]: /dev/nvme0n1 is a name"),
        ({"target": "11111111"}, "cannot be its own backup"),
        ({"on_plug": "perhaps"}, 'on_plug is "perhaps"; give true or false'),
        ({"quiesce_timeout": "long"}, 'quiesce_timeout is "long"; give a whole number'),
        ({"quiesce_timeout": True}, "quiesce_timeout is true; give a whole number"),
        ({"max_age": "long"}, 'max_age is "long"; give seconds'),
        ({"max_age": True}, "max_age is true; give seconds"),
        ({"on_success": ["bell"]}, 'on_success[0] is "bell", which is no name of a unit'),
        ({"on_failure": ["x.service\nExecStart=/bin/sh"]}, "no name of a unit"),
        ({"schedule": "weekly\nUnit=other.service"}, "control characters"),
        ({"schedul": "weekly"}, 'unknown key "schedul"'),
        ({"engine": "fastest"}, "choose one of auto, native, blocksync_fast"),
        ({"name": "Big Disk"}, "use a-z, 0-9, _ and - only"),
        ({"partitions": [0]}, "partitions holds 0"),
        ({"textfile_dir": "metrics"}, "give an absolute path"),
    ],
)
def test_one_clear_error_that_names_the_job(values: dict[str, Any], complaint: str) -> None:
    (problem,) = problems({**TRAVEL, **values})
    assert problem.startswith("Job %s: " % values.get("name", "travel"))
    assert complaint in problem


@pytest.mark.parametrize("jobs", ["travel", {"name": "travel"}, 5])
def test_jobs_are_a_list(jobs: Any) -> None:
    found, (error,) = read_jobs(jobs)
    assert (found, "give a list of jobs" in str(error)) == ((), True)


@pytest.mark.parametrize("job", ["travel", 5, ["travel"], None])
def test_a_job_is_a_dictionary(job: Any) -> None:
    (problem,) = problems(job)
    assert problem.startswith("jobs[0]: a job is a dictionary of options")


def test_everything_wrong_is_reported_at_once() -> None:
    found = problems({**TRAVEL, "max_age": "long", "x": 1}, {**TRAVEL, "source": "nonsense"}, {"name": "empty"})
    assert len(found) == 6
    assert found[0] == "Two jobs have the name travel."


def test_schedules_of_wrong_jobs_too() -> None:
    jobs = [{**TRAVEL, "schedule": "weekly"}, {"name": "x", "schedule": "sometimes"}, {**TRAVEL, "schedule": ""}, "x"]
    assert list(schedules(jobs)) == [("travel", "weekly"), ("x", "sometimes")]
