# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The variables of every role: documented, with a default, and the same default in both places."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROLES = sorted((Path(__file__).resolve().parents[2] / "roles").iterdir())


def load(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(path.read_text())
    return content


def options(role: Path) -> dict[str, Any]:
    found: dict[str, Any] = load(role / "meta" / "argument_specs.yml")["argument_specs"]["main"]["options"]
    return found


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_every_variable_is_specified_and_has_a_default(role: Path) -> None:
    assert set(options(role)) == set(load(role / "defaults" / "main.yml"))


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_defaults_are_the_documented_ones(role: Path) -> None:
    documented = {name: option["default"] for name, option in options(role).items() if not option.get("required")}
    assert documented == load(role / "defaults" / "main.yml")


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_public_names_begin_with_the_role_and_internal_ones_with_underscores(role: Path) -> None:
    assert all(name.startswith(f"{role.name}_") for name in options(role))
    assert all(name.startswith(f"__{role.name}_") for name in load(role / "vars" / "main.yml"))


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_variables_in_tasks_and_templates_have_their_source(role: Path) -> None:
    """A name with the role's prefix that nothing defines is a typing error."""
    kinds = ("tasks", "templates", "handlers", "vars")
    texts = {path: path.read_text() for kind in kinds for path in (role / kind).glob("*")}
    texts = {path: re.sub(r"^ +tags: .*", "", text, flags=re.MULTILINE) for path, text in texts.items()}
    defined = set(options(role)) | set(load(role / "vars" / "main.yml"))
    for text in texts.values():
        defined |= set(re.findall(rf"(?:register: |loop_var: |set )((?:__)?{role.name}_\w+)", text))
        defined |= set(re.findall(rf"^ +((?:__)?{role.name}_\w+):", text, re.MULTILINE))
    for path, text in texts.items():
        used = set(re.findall(rf"(?<![\w/.-])((?:__)?{role.name}_\w+)", text))
        assert used <= defined, path


def entries(content: Any) -> Iterator[dict[str, Any]]:
    """Each task of a task file, those of its blocks included."""
    for task in content or ():
        yield task
        for block in ("block", "rescue", "always"):
            yield from entries(task.get(block))


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_a_role_does_nothing_that_another_one_could_change(role: Path) -> None:
    """Handlers and loop variables of two roles may share a name, and an inventory's "become" beats that of a task."""
    assert not (role / "handlers").exists()
    for path in sorted((role / "tasks").glob("*.yml")):
        text = path.read_text()
        for task in entries(yaml.safe_load(text)):
            assert not {"delegate_to", "local_action", "become", "connection", "notify", "run_once"} & set(task), path
            if "loop" in task:
                assert task["loop_control"]["loop_var"].startswith(f"__{role.name}_"), (path, task["name"])
        assert not re.search(r"\bitem\b(?!s\b)|flush_handlers", text), path
