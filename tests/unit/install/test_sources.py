# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of the core: all of them reach a host with the module that installs them, and nothing else does."""

from __future__ import annotations

import ast
import importlib
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import blksync
from blksync.install import sources
from tests.tooling.paths import ROOT

PLUGINS = ROOT / "plugins"
CORE = PLUGINS / "module_utils" / "blksync"
COLLECTION = "ansible_collections.blksync.backup.plugins."
NOT_SHIPPED = {"blksync/__main__.py"}  # see build_ignore in galaxy.yml


def core_files() -> dict[str, bytes]:
    return {path.relative_to(CORE.parent).as_posix(): path.read_bytes() for path in CORE.rglob("*.py")}


def imported_files(file: Path) -> Iterator[Path]:
    """The files of the collection that a file imports, those of the packages around them too, as Ansible finds them."""
    package = file.relative_to(PLUGINS).parent.parts
    for node in ast.walk(ast.parse(file.read_text())):
        if not isinstance(node, ast.ImportFrom):
            continue
        module = tuple((node.module or "").split(".")) if node.module else ()
        if node.level:
            module = (*package[: len(package) - node.level + 1], *module)
        elif (node.module or "").startswith(COLLECTION):
            module = tuple((node.module or "").removeprefix(COLLECTION).split("."))
        else:
            continue
        for parts in [module[:length] for length in range(1, len(module) + 1)] + [
            (*module, alias.name) for alias in node.names
        ]:
            path = PLUGINS.joinpath(*parts)
            yield from (each for each in (path / "__init__.py", path.with_suffix(".py")) if each.is_file())


def sent_with(module: Path) -> set[str]:
    """The files of the core that Ansible sends with a module."""
    found: set[Path] = set()
    waiting = {module}
    while waiting:
        file = waiting.pop()
        found.add(file)
        waiting |= set(imported_files(file)) - found
    return {path.relative_to(CORE.parent).as_posix() for path in found if path.is_relative_to(CORE)}


def test_the_module_sends_every_file_of_the_core() -> None:
    missing = set(core_files()) - NOT_SHIPPED - sent_with(PLUGINS / "modules" / "command.py")
    assert not missing, "plugins/modules/command.py must import these, so that Ansible sends them"


def test_every_file_of_the_core_is_read_and_nothing_else() -> None:
    assert sources.read(blksync) == core_files()


def test_a_package_in_a_zip_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {
        "outer/__init__.py": b"",
        "outer/lost/__init__.py": b"",
        "outer/lost/core.py": b"raise OSError  # \xc3\xa4",
    }
    files["outer/lost/inner/__init__.py"] = b"from . import leaf\r\n"
    files["outer/lost/inner/leaf.py"] = b""
    archive = tmp_path / "sent.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path, content in files.items():
            file.writestr(path, content)
    monkeypatch.syspath_prepend(str(archive))
    try:
        package = importlib.import_module("outer.lost")
        expected = {path.removeprefix("outer/"): content for path, content in files.items() if "lost" in path}
        assert sources.read(package) == expected
    finally:
        for name in [name for name in sys.modules if name.split(".")[0] == "outer"]:
            del sys.modules[name]
