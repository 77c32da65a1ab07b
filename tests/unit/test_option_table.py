# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every door offers every option of the table in blksync.options, with the same values and the same default.

A door is a module, the command line, a job file, the role or the playbook. DIFFERENCES lists all deliberate
differences and their reasons; a difference that no longer exists fails a test.
"""

from __future__ import annotations

import argparse
import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import yaml

from blksync.cli.arguments import flag, make_parser
from blksync.install.command import InstallRequest
from blksync.jobs import config
from blksync.jobs.config import Job
from blksync.jobs.values import JobTarget
from blksync.options import DeltaRequest, ImageRequest, SyncRequest
from blksync.options.kinds import DISKS, FLAG, Option, options_of
from blksync.scheduling.host import JobsRequest
from blksync.scheduling.jobs import ScheduledJob
from blksync.scheduling.jobs import keys as scheduling_keys
from tests.tooling.paths import ROOT

COLLECTION = "ansible_collections.blksync.backup"
REQUESTS: dict[str, type] = {
    "command": InstallRequest,
    "jobs": JobsRequest,
    "disk_sync": SyncRequest,
    "image_sync": ImageRequest,
    "image_delta": DeltaRequest,
}
SYNC, JOB = options_of(SyncRequest), options_of(Job)
MODULES = pytest.mark.parametrize("name", REQUESTS)

# (door, option) and the reason why the door differs from the table there.
DIFFERENCES = {
    ("image_delta", "state"): "chooses between two operations, which both take a DeltaRequest",
    ("job file", "version"): "of the file's format, not of the sync",
    ("job file", "target"): "a job has several backup disks, in targets",
    ("role", "targets"): "is called target, which takes one disk or a list",
    ("role", "schedule"): "for the timer",
    ("role", "on_plug"): "for the udev rule",
    ("role", "on_success"): "for the service",
    ("role", "on_failure"): "for the service",
    ("playbook", "hosts"): "where the play runs",
    ("playbook", "confirm"): "asks before the sync",
    ("playbook", "async"): "how the task runs",
}
ONLY_OF_THE_ROLE = {name for door, name in DIFFERENCES if door == "role" and name != "targets"}
# Options that one request has and another has not, and the reason.
ONLY_IN = {
    ("disk_sync", "image_sync"): {
        "partitions": "an image or device is copied whole",
        "quiesce_fallback": "images are not copied live",
        "power_off": "a device may be any part of a disk",
        "discard_changes": "of an image or device nothing is known from one run to the next",
    },
    ("image_sync", "disk_sync"): {
        "create": "partitions are not made",
        "punch_zeros": "a partition has no holes",
        "keep": "a partition has no former generations",
        "digest_dir": "a device does not show that another program wrote to it, so no digest of it is valid",
        "digest_max_age": "as digest_dir",
        "digest_full_every": "as digest_dir",
        "algorithm": "as digest_dir",
    },
}
OTHER_VALUES: dict[str, Any] = {
    "source": "33333333",
    "target": "44444444",
    "partitions": [3, 5],
    "engine": "native",
    "quiesce": "live",
    "quiesce_timeout": 17,
    "quiesce_fallback": False,
    "scope": "used",
    "verify": "full",
    "rate_limit": 20_000_000,
    "allow_damaged_source": True,
    "block_size": 8192,
    "compare": False,
    "protected": ["55555555"],
    "power_off": True,
    "discard_changes": True,
}
WANTED = SyncRequest(**{**OTHER_VALUES, "partitions": (3, 5), "protected": ("55555555",)})


def load(path: str) -> Any:
    return yaml.safe_load((ROOT / path).read_text())


def differences(door: str, offered: set[str], table: set[str]) -> None:
    """What a door offers is the table, but for exactly the differences that are listed."""
    assert offered ^ table == {option for where, option in DIFFERENCES if where == door}


def default_of(option: Option) -> Any:
    """As YAML writes it; None for a required option, or for one that stands for nothing at all."""
    if option.required or option.empty:
        return None
    return list(option.default) if isinstance(option.default, tuple) else option.default


# The modules


class SpecificationTaken(Exception):
    """Ends a module as soon as it has said what options it takes, or what it asks of the core."""


@pytest.fixture
def collection(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The sources under the name that an installed collection has."""
    before = set(sys.modules)
    for name in ("ansible_collections", "ansible_collections.blksync", COLLECTION):
        package = ModuleType(name)
        package.__path__ = [str(ROOT)] if name == COLLECTION else []
        monkeypatch.setitem(sys.modules, name, package)
    yield
    for name in set(sys.modules) - before:
        if name.startswith(COLLECTION + "."):
            del sys.modules[name]


def specification(name: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The argument_spec that a module gives to Ansible."""
    module = importlib.import_module(f"{COLLECTION}.plugins.modules.{name}")
    taken: dict[str, Any] = {}

    def take(argument_spec: dict[str, Any], **_options: Any) -> None:
        taken.update(argument_spec)
        raise SpecificationTaken

    monkeypatch.setattr(module, "AnsibleModule", take)
    with pytest.raises(SpecificationTaken):
        module.main()
    return taken


def documented(name: str) -> dict[str, Any]:
    """The options in a module's documentation, those of its fragments included."""
    module = importlib.import_module(f"{COLLECTION}.plugins.modules.{name}")
    content = yaml.safe_load(module.DOCUMENTATION)
    options: dict[str, Any] = {}
    for fragment in content["extends_documentation_fragment"]:
        name_of_file, _dot, part = fragment[len("blksync.backup.") :].partition(".")
        plugin = importlib.import_module(f"{COLLECTION}.plugins.doc_fragments.{name_of_file}")
        text = getattr(plugin.ModuleDocFragment, part.upper() or "DOCUMENTATION")
        options.update(yaml.safe_load(text)["options"])
    options.update(content["options"])
    return options


@MODULES
@pytest.mark.usefixtures("collection")
def test_a_module_takes_and_documents_the_table(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    table = options_of(REQUESTS[name])
    spec, documentation = specification(name, monkeypatch), documented(name)
    differences(name, set(spec), set(table))
    assert set(documentation) == set(spec)
    for option, known in table.items():
        expected = (known.kind.ansible, list(known.choices), known.required, default_of(known))
        for found in (spec[option], documentation[option]):
            values = (found["type"], found.get("choices", []), found.get("required", False), found.get("default"))
            assert values == expected, option
            assert set(found) <= {"type", "choices", "required", "default", "description"}


def test_identifiers_and_partitions_reach_the_core_as_they_were_written() -> None:
    """With other types than raw Ansible turns 01234567, true and 1.0 into other values without a word."""
    raw = {name for name, option in SYNC.items() if option.kind.ansible == "raw"}
    assert raw == {"source", "target", "partitions", "protected"}


@pytest.mark.usefixtures("collection")
@pytest.mark.parametrize("others", [True, False])
def test_disk_sync_hands_every_option_on(others: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    defaults = {name: default_of(option) for name, option in SYNC.items()}
    given = OTHER_VALUES if others else {**defaults, "source": "33333333", "target": "44444444"}
    module = importlib.import_module(f"{COLLECTION}.plugins.modules.disk_sync")
    taken: list[Any] = []

    def take(wanted: Any, **_books: Any) -> None:
        taken.append(wanted)
        raise SpecificationTaken

    monkeypatch.setattr(module.disk_sync, "run", take)
    with pytest.raises(SpecificationTaken):
        module.synced(SimpleNamespace(params=given, check_mode=True))
    expected = WANTED if others else SyncRequest("33333333", "44444444")
    assert vars(taken[0]) == {**vars(expected), "check": True}


def test_the_other_values_are_no_defaults() -> None:
    assert set(OTHER_VALUES) == set(SYNC)
    assert all(getattr(WANTED, name) != option.default for name, option in SYNC.items())


@pytest.mark.parametrize("pair", ONLY_IN)
def test_what_only_one_request_has_is_listed(pair: tuple[str, str]) -> None:
    has, lacks = (options_of(REQUESTS[name]) for name in pair)
    assert set(has) - set(lacks) == set(ONLY_IN[pair])


def test_what_two_requests_have_is_the_same() -> None:
    differ = {
        (name, option)
        for name, table in REQUESTS.items()
        for option, known in options_of(table).items()
        if option in SYNC and (known.default, known.choices) != (SYNC[option].default, SYNC[option].choices)
    }
    assert differ == {("image_sync", "quiesce"), ("image_delta", "quiesce")}  # images are not copied live


# The command line


def sync_actions() -> dict[str, argparse.Action]:
    subparsers = next(a for a in make_parser()._actions if isinstance(a, argparse._SubParsersAction))
    group = next(g for g in subparsers.choices["sync"]._action_groups if g.title == "instead of a job")
    return {action.dest: action for action in group._group_actions}


def words_for(option: Option, name: str, value: Any) -> list[str]:
    """A value on the command line."""
    if option.kind is FLAG:
        return [flag(name, option)]
    if option.kind is DISKS:
        return [word for disk in value for word in (flag(name, option), disk)]
    return [flag(name, option), ",".join(map(str, value)) if isinstance(value, list) else str(value)]


def test_the_command_line_has_a_flag_for_every_option() -> None:
    actions = sync_actions()
    differences("command line", set(actions), set(SYNC))
    for name, option in SYNC.items():
        assert tuple(actions[name].choices or ()) == option.choices
        assert actions[name].help
        if default_of(option) is not None and option.kind is not FLAG:
            default = option.default if isinstance(option.default, tuple) else (option.default,)
            assert str(actions[name].help).endswith("(%s)" % ",".join(map(str, default)))


def test_the_command_line_hands_every_option_on() -> None:
    words = [word for name, option in SYNC.items() for word in words_for(option, name, OTHER_VALUES[name])]
    parsed = vars(make_parser().parse_args(["sync", *words]))
    assert SyncRequest.of({name: parsed[name] for name in SYNC}) == WANTED


# Job files, the role and the playbook


def test_a_job_file_has_a_key_for_every_option() -> None:
    differences("job file", set(config.keys()) - set(JOB), set(SYNC))


def role_keys() -> dict[str, Any]:
    spec = load("roles/backup_disk/meta/argument_specs.yml")["argument_specs"]["main"]["options"]
    keys: dict[str, Any] = spec["backup_disk_jobs"]["options"]
    return keys


def test_a_job_of_the_role_takes_what_a_job_file_has() -> None:
    keys = role_keys()
    differences("role", set(keys), {*SYNC, *JOB})
    types = {"max_age": "raw", "protected": "list"}  # 10d too; a list of raw
    for name, option in {**SYNC, **JOB}.items():
        if name in keys:
            assert tuple(keys[name].get("choices", ())) == option.choices, name
            assert keys[name]["type"] == types.get(name, option.kind.ansible), name
            assert keys[name].get("required", False) is option.required, name
            assert "default" not in keys[name], name  # what the role does not write, the command decides


def test_the_role_takes_what_the_module_jobs_takes() -> None:
    assert set(role_keys()) == set(scheduling_keys())
    for name, option in options_of(ScheduledJob).items():
        assert role_keys()[name]["type"] == option.kind.ansible, name
    variables = load("roles/backup_disk/meta/argument_specs.yml")["argument_specs"]["main"]["options"]
    for name, option in options_of(JobsRequest).items():
        if f"backup_disk_{name}" in variables and name != "jobs":
            assert variables[f"backup_disk_{name}"]["default"] == option.default, name


def test_the_playbook_has_a_variable_for_every_option() -> None:
    text = (ROOT / "playbooks/sync_backup_disk.yml").read_text()
    _find_hosts, play = yaml.safe_load(text)
    tasks = [task for entry in play["tasks"] for task in entry.get("block", [entry])]
    (options,) = [task["blksync.backup.disk_sync"] for task in tasks if "blksync.backup.disk_sync" in task]
    assert options == {
        name: "{{ blksync_%s }}" % name if option.required else "{{ blksync_%s | default(omit) }}" % name
        for name, option in SYNC.items()
    }
    (spec,) = (
        task["ansible.builtin.validate_argument_spec"]["argument_spec"]
        for task in tasks
        if "ansible.builtin.validate_argument_spec" in task
    )
    checked = {name: option for name, option in SYNC.items() if option.kind.ansible != "raw"}
    assert {name: spec.pop(f"blksync_{name}") for name in checked} == {
        name: {"type": option.kind.ansible, **({"choices": list(option.choices)} if option.choices else {})}
        for name, option in checked.items()
    }
    assert set(spec) == {"blksync_confirm", "blksync_async"}
    comment = "".join(line for line in text.splitlines(keepends=True) if line.startswith("#"))
    differences("playbook", set(re.findall(r"\bblksync_(\w+)", comment)), set(SYNC))


# docs/command.md and the role's README


def rows(heading: str, page: str = "docs/command.md") -> list[list[str]]:
    """The cells of the first table below a heading, without its header."""
    section = Path(ROOT / page).read_text().split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines[2:]]


def test_the_documented_keys_of_a_job_file_are_the_table() -> None:
    table = {**SYNC, **JOB}
    found = {key.strip("`"): (value, default) for key, value, default in rows("Job files")}
    assert set(found) == set(config.keys())
    for name, (value, default) in found.items():
        if name == "version":
            continue
        known = table[name]
        expected = "required" if known.required else _as_json(known.default)
        assert default.strip("`") == expected, name
        if known.choices and known.kind.ansible == "str":
            assert set(known.choices) <= set(re.findall(r"`(\w+)`", value)), name


def _as_json(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(list(value)) if isinstance(value, tuple) else str(value)


def test_the_documented_flags_exist_and_the_unusual_ones_are_documented() -> None:
    flags = {flag(name, option): name for name, option in SYNC.items()}
    shown = {word for _module, words in rows("Options without a job") for word in re.findall(r"--[a-z-]+", words)}
    assert shown - set(flags) == {"--check"}
    unusual = {known for known, name in flags.items() if SYNC[name].kind in (FLAG, DISKS)}
    assert unusual <= shown


def test_the_readme_has_the_roles_variables_and_the_keys_of_its_own() -> None:
    readme = "roles/backup_disk/README.md"
    variables = {name.strip("`"): yaml.safe_load(default.strip("`")) for name, default, _m in rows("Variables", readme)}
    assert variables == load("roles/backup_disk/defaults/main.yml")
    keys = {name.strip("`") for name, _default, _meaning in rows("Keys of a job", readme)}
    assert keys == {"target", "max_age", *ONLY_OF_THE_ROLE}


@pytest.mark.parametrize("table", [*REQUESTS.values(), Job, JobTarget])
def test_defaults_and_choices_make_sense(table: type) -> None:
    for name, option in options_of(table).items():
        if not option.required:
            assert option.read(name, option.default) == option.default
        for choice in option.choices:
            assert option.read(name, choice) == choice
