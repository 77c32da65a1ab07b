# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of every module that makes a request are the request's own: names, choices and defaults."""

from __future__ import annotations

import dataclasses
import importlib
import sys
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from blksync import options
from blksync.options import DeltaRequest, ImageRequest, SyncRequest
from tests.tooling.paths import ROOT

COLLECTION = "ansible_collections.blksync.backup"
SHARED_CHOICES = {
    "engine": options.ENGINES,
    "verify": options.VERIFY_MODES,
    "scope": options.SCOPES,
    "block_size": options.BLOCK_SIZES,
}
NOT_OFFERED = {
    "disk_sync": {"check"},
    "image_sync": {"check", "quiesce_fallback", "scope"},
    "image_delta": {"check"},
}
REQUESTS = {"disk_sync": SyncRequest, "image_sync": ImageRequest, "image_delta": DeltaRequest}
MODULES = pytest.mark.parametrize("name", REQUESTS)


class SpecificationTaken(Exception):
    """Ends a module as soon as it has said what options it takes."""


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


OTHER_VALUES: dict[str, Any] = {
    "source": "11111111",
    "target": "22222222",
    "partitions": [3, 5],
    "engine": "native",
    "quiesce": "live",
    "quiesce_timeout": 17,
    "quiesce_fallback": False,
    "scope": "used",
    "verify": "full",
    "allow_damaged_source": True,
    "block_size": 8192,
    "compare": False,
    "protected": None,
    "power_off": True,
}


@pytest.mark.usefixtures("collection")
def test_disk_sync_hands_every_option_on(monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module(f"{COLLECTION}.plugins.modules.disk_sync")
    taken: list[Any] = []

    def take(wanted: Any) -> None:
        taken.append(wanted)
        raise SpecificationTaken

    monkeypatch.setattr(module.disk_sync, "run", take)
    with pytest.raises(SpecificationTaken):
        module.synced(SimpleNamespace(params=OTHER_VALUES, check_mode=True))
    expected = dict(OTHER_VALUES, partitions=(3, 5), protected=(), check=True)
    assert dataclasses.asdict(taken[0]) == expected
    defaults = dataclasses.asdict(SyncRequest(source="", target=""))
    assert [name for name, value in expected.items() if value == defaults[name]] == ["protected"]


@MODULES
@pytest.mark.usefixtures("collection")
def test_every_value_of_a_request_is_an_option(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fields = {field.name for field in dataclasses.fields(REQUESTS[name])}
    more = {"state"} if name == "image_delta" else set()
    assert set(specification(name, monkeypatch)) == (fields - NOT_OFFERED[name]) | more


@MODULES
@pytest.mark.usefixtures("collection")
def test_choices_are_those_that_the_core_takes(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    modes = getattr(REQUESTS[name], "quiesce_modes", options.QUIESCE_MODES)
    compared = 0
    for option, choices in {**SHARED_CHOICES, "quiesce": modes}.items():
        found = specification(name, monkeypatch).get(option)
        if found:
            assert tuple(found["choices"]) == choices, option
            compared += 1
    assert compared >= 2


@MODULES
@pytest.mark.usefixtures("collection")
def test_defaults_are_those_of_the_core(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An option without a default is one whose default is nothing at all."""
    defaults = {field.name: field.default for field in dataclasses.fields(REQUESTS[name])}
    for option, found in specification(name, monkeypatch).items():
        if option not in defaults or found.get("required"):
            continue
        default = found.get("default")
        default = tuple(default) if isinstance(default, list) else default
        assert default == (defaults[option] or default), option
        assert bool(default) == bool(defaults[option]), option
