# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A job file is taken exactly as documented or refused with everything that is wrong."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blksync.errors import JobError
from blksync.jobs import config
from blksync.jobs.config import Job
from blksync.jobs.values import JobTarget
from blksync.options import ENGINES, SCOPES, SyncRequest
from blksync.options.kinds import options_of

SMALLEST: dict[str, Any] = {
    "version": 1,
    "name": "travel",
    "source": "11111111",
    "targets": [{"identifier": "22222222"}],
}
LARGEST: dict[str, Any] = {
    "version": 1,
    "name": "travel",
    "source": "6f9619ff-8b86-d011-b42d-00c04fc964ff",
    "targets": [{"identifier": "22222222", "serial": "S6XNNS0T"}, {"identifier": "serial:ABC"}],
    "partitions": [1, 2, 5],
    "engine": "native",
    "quiesce": "live",
    "quiesce_timeout": 600,
    "quiesce_fallback": False,
    "scope": "used",
    "verify": "full",
    "rate_limit": 20971520,
    "allow_damaged_source": True,
    "block_size": 65536,
    "compare": False,
    "protected": ["/dev/disk/by-id/usb-Archive-0:0"],
    "power_off": True,
    "when_absent": "fail",
    "discard_changes": True,
    "max_age": 604800,
    "require": "all",
    "loop_devices": True,
    "notify": True,
    "textfile_dir": "/var/lib/prometheus/node-exporter",
}


def parse(content: Any) -> Job:
    return config.parse(json.dumps(content), "test.json")


def as_written(job: Job) -> dict[str, Any]:
    """The job as JSON has it, with every key but the version."""
    content = asdict(job)
    sync = content.pop("sync")
    del sync["target"], sync["check"]
    written: dict[str, Any] = json.loads(json.dumps({**content, **sync}))
    return written


def problems_of(content: Any) -> list[str]:
    with pytest.raises(JobError) as caught:
        config.parse(content if isinstance(content, str) else json.dumps(content), "test.json")
    assert caught.value.where == "test.json"
    return list(caught.value.problems)


def test_smallest_job_has_the_documented_defaults() -> None:
    assert parse(SMALLEST) == Job(SyncRequest("11111111", "22222222"), "travel", (JobTarget("22222222"),))
    assert parse(SMALLEST).when_absent == "skip"


def test_every_key_is_taken() -> None:
    written = as_written(parse(LARGEST))
    written["targets"][1].pop("serial")
    assert {"version": 1, **written} == LARGEST
    assert set(LARGEST) == set(config.keys())
    defaults = as_written(parse(SMALLEST))
    assert [key for key, value in written.items() if value == defaults[key]] == ["name"]


def test_request_says_what_the_job_says() -> None:
    job = parse(LARGEST)
    request = job.request(job.targets[1], check=True)
    request.validate()
    assert request == replace(job.sync, target="serial:ABC", check=True)


@pytest.mark.parametrize(("value", "partitions"), [("all", "all"), ("1,2", (1, 2)), (["3"], (3,)), (4, (4,))])
def test_partitions_are_read_as_everywhere(value: object, partitions: object) -> None:
    job = parse({**SMALLEST, "partitions": value})
    assert job.request(job.targets[0]).partitions == partitions


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"version": 2}, ["version is 2; this blksync reads version 1"]),
        ({"version": True}, ["version is true"]),
        ({"version": None}, ["version is null"]),
        ({"name": "Travel"}, ['name is "Travel"']),
        ({"name": "-x"}, ['name is "-x"']),
        ({"name": "a/b"}, ['name is "a/b"']),
        ({"name": "a\n"}, ["name is"]),
        ({"name": "a" * 65}, ["at most 64"]),
        ({"source": 11111111}, ["source is the number 11111111", 'source: "11111111"']),
        ({"source": ""}, ["source: '' is no disk identifier"]),
        ({"source": "the big one"}, ["source: 'the big one' is no disk identifier"]),
        ({"source": "/dev/disk/by-uuid/1-2"}, ["does not tell disks apart"]),
        ({"targets": []}, ["targets is empty"]),
        ({"targets": "22222222"}, ["targets is", "give a list"]),
        ({"targets": ["22222222"]}, ["targets[0]", "give an object"]),
        ({"targets": [{"identifier": 22222222}]}, ["targets[0].identifier is the number 22222222"]),
        ({"targets": [{"identifier": "22222222", "serial": 7}]}, ["targets[0].serial is 7"]),
        ({"targets": [{"identifier": "22222222", "size": 7}]}, ['targets[0]: unknown key "size"']),
        ({"targets": [{"identifier": "22222222"}] * 2}, ["names a disk twice"]),
        ({"targets": [{"identifier": "0xAAAAAAAA"}, {"identifier": "aaaaaaaa"}]}, ["names a disk twice"]),
        ({"targets": [{"identifier": "22222222", "serial": ""}]}, ["targets[0].serial is"]),
        ({"targets": [{"identifier": "22222222"}, {"identifier": "0x11111111"}]}, ["targets[1] is the source"]),
        ({"targets": [{"identifier": "11111111", "serial": "S"}]}, ['is the source, "11111111"']),
        ({"partitions": []}, ["partitions is empty"]),
        ({"partitions": [1, True]}, ["partitions holds true"]),
        ({"partitions": ["1", "x"]}, ['partitions holds "x"']),
        ({"partitions": None}, ["partitions holds null"]),
        ({"partitions": [2, 2]}, ["names 2 more than once"]),
        ({"engine": "dd"}, ['engine is "dd"', ", ".join(ENGINES)]),
        ({"quiesce": "halt"}, ["auto, live, freeze, none"]),
        ({"quiesce": ["auto"]}, ["choose one of"]),
        ({"quiesce_fallback": "no"}, ['quiesce_fallback is "no"', "true or false"]),
        ({"scope": "some"}, ['scope is "some"', ", ".join(SCOPES)]),
        ({"scope": "used", "engine": "blocksync_fast"}, ["whole partitions only"]),
        ({"verify": None}, ["auto, full"]),
        ({"quiesce_timeout": 0}, ["quiesce_timeout is 0"]),
        ({"quiesce_timeout": 1.5}, ["quiesce_timeout is 1.5"]),
        ({"protected": [33333333]}, ["protected[0] is the number"]),
        ({"power_off": "yes"}, ['power_off is "yes"']),
        ({"block_size": "4096"}, ['block_size is "4096"', "4096, 8192"]),
        ({"compare": 0}, ["compare is 0", "true or false"]),
        ({"quiesce_timeout": 10**30}, ["at most 604800"]),
        ({"target": "22222222"}, ['unknown key "target"']),
        ({"when_absent": "ignore"}, ["skip, fail"]),
        ({"max_age": 0}, ["max_age is 0"]),
        ({"max_age": ""}, ['max_age is ""']),
        ({"notify": 1}, ["notify is 1"]),
        ({"textfile_dir": "metrics"}, ["absolute path"]),
        ({"schedule": "weekly"}, ['unknown key "schedule"', "known: version, name, targets"]),
    ],
)
def test_one_problem_is_named(change: dict[str, Any], words: list[str]) -> None:
    problems = problems_of({**SMALLEST, **change})
    assert len(problems) == 1
    assert all(word in problems[0] for word in words), problems


def test_all_problems_are_told_together() -> None:
    wrong = {"version": 1, "source": 1, "targets": [{"identifier": 2}, {"serial": 3}], "power_off": 0, "extra": 1}
    problems = problems_of(wrong)
    named = ["name is missing", "source", "targets[0].identifier", "targets[1].identifier", "targets[1].serial"]
    for start in [*named, "power_off", "unknown key"]:
        assert any(problem.startswith(start) for problem in problems), (start, problems)
    assert len(problems) == 7


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"travel"', '{"version": 1,}'])
def test_what_is_no_object_is_refused(text: str) -> None:
    assert len(problems_of(text)) == 1


def test_a_key_that_stands_twice_is_refused() -> None:
    text = json.dumps({**SMALLEST, "twice": 0}).replace('"twice": 0', '"source": "33333333"')
    assert problems_of(text) == ['key "source" stands twice']
    inner = json.dumps(SMALLEST).replace('"22222222"', '"22222222", "identifier": "33333333"')
    assert problems_of(inner) == ['key "identifier" stands twice']


def test_no_problem_hides_another() -> None:
    """Neither a doubled key, nor another version, nor values that do not go together, nor an unknown key."""
    wrong = {**SMALLEST, "version": 2, "scope": "used", "engine": "blocksync_fast", "verify": 1, "colour": "red"}
    wrong["targets"] = [{"identifier": "22222222"}, {"identifier": "11111111", "size": 1}]
    text = json.dumps({**wrong, "twice": 0}).replace('"twice": 0', '"verify": "none"')
    problems = problems_of(text)
    starts = ["key", "version is 2", "targets[1]: unknown", 'verify is "none"', "blocksync-fast copies"]
    starts += ["targets[1] is the source", "unknown key"]
    assert len(problems) == len(starts)
    assert all(problem.startswith(start) for start, problem in zip(starts, problems, strict=True)), problems


def test_what_is_nested_without_end_is_refused() -> None:
    assert "not JSON" in problems_of("[" * 100_000)[0]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(sorted(LARGEST)) | st.text(max_size=6), JSON))
def test_whatever_is_written_is_taken_or_refused(change: dict[str, Any]) -> None:
    """Never anything but a job that makes a valid request, or a JobError."""
    try:
        job = parse({**LARGEST, **change})
    except JobError:
        return
    for target in job.targets:
        job.request(target).validate()


@given(st.sampled_from(sorted(set(LARGEST) - {"version"})), JSON)
def test_a_value_that_is_taken_is_kept(key: str, value: Any) -> None:
    try:
        job = parse({**LARGEST, key: value})
    except JobError:
        return
    if key == "targets":
        expected: Any = [{"serial": None, **target} for target in value]
    else:  # one partition or disk is a list of one, and a text may hold the numbers of partitions
        read = {**options_of(SyncRequest), **options_of(Job)}[key].read(key, value)
        expected = list(read) if isinstance(read, tuple) else value
    assert as_written(job)[key] == expected


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    tmp_path.chmod(0o755)
    return tmp_path


def put(directory: Path, name: str, mode: int = 0o644) -> Path:
    path = directory / f"{name}.json"
    path.write_text(json.dumps(SMALLEST))
    path.chmod(mode)
    return path


def load_problems(directory: Path, name: str) -> str:
    with pytest.raises(JobError) as caught:
        config.load(name, str(directory))
    return "; ".join(caught.value.problems)


def test_load_by_name(directory: Path) -> None:
    put(directory, "travel")
    assert config.load("travel", str(directory)).name == "travel"
    assert config.names(str(directory)) == ["travel"]
    assert config.names(str(directory / "none")) == []


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o666])
def test_a_file_that_others_can_write_is_not_trusted(directory: Path, mode: int) -> None:
    put(directory, "travel", mode=mode)
    assert "can be written by others" in load_problems(directory, "travel")


def test_a_dir_that_others_can_write_is_not_trusted(directory: Path) -> None:
    put(directory, "travel")
    directory.chmod(0o777)
    assert "can be written by others" in load_problems(directory, "travel")


@pytest.mark.needs("root")
def test_a_file_of_somebody_else_is_not_trusted(directory: Path) -> None:
    os.chown(put(directory, "travel"), 12345, 0)
    assert "belongs to user 12345" in load_problems(directory, "travel")


def test_a_job_must_have_its_files_name(directory: Path) -> None:
    put(directory, "other")
    assert "the file's name says 'other'" in load_problems(directory, "other")


def test_a_wrong_name_is_told_with_everything_else(directory: Path) -> None:
    put(directory, "other", mode=0o666).write_text(json.dumps({**SMALLEST, "version": 2, "notify": 1}))
    problems = load_problems(directory, "other")
    assert all(words in problems for words in ("the file's name", "version is 2", "notify is 1", "by others"))


def test_a_missing_job_lists_those_that_are_there(directory: Path) -> None:
    put(directory, "travel")
    assert "jobs in %s: travel" % directory in load_problems(directory, "home")
    assert "not a job's name" in load_problems(directory, "../travel")


def test_a_file_elsewhere_is_checked_for_its_content_only(directory: Path, tmp_path: Path) -> None:
    """Ansible validates a temporary file of another name before it puts it in place."""
    path = tmp_path / ".source.tmp"
    path.write_text(json.dumps(SMALLEST))
    assert config.check_file(str(path), str(directory / "etc")).name == "travel"
    path.write_bytes(b"\xff")
    with pytest.raises(JobError):
        config.check_file(str(path), str(directory / "etc"))


def test_a_fifo_in_the_place_of_a_job_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "travel.json")
    with pytest.raises(JobError, match="not a regular file"):
        config.load("travel", str(tmp_path))
