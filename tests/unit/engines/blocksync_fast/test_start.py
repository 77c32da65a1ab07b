# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A program blocksync-fast that is missing or cannot start says so by name before anything is touched."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from blksync.discovery.model import Machine
from blksync.engines.blocksync_fast import start
from blksync.engines.blocksync_fast.engine import BlocksyncFastEngine
from blksync.engines.choice import choose
from blksync.engines.native.engine import NativeEngine
from blksync.errors import EngineError, EngineMissingError
from blksync.options import ImageRequest
from blksync.sync import image_sync
from blksync.system import programs
from tests.support.blocksync_program import COPY, TRIED, FakeProgram

# The first bytes of a program for IBM S/390, which no test runs on.
FOREIGN = b"\x7fELF\x02\x02\x01" + bytes(9) + b"\x00\x02\x00\x16" + bytes(100)
LOADER = "error while loading shared libraries: libgcrypt.so.20: cannot open shared object file"


@pytest.fixture(autouse=True)
def _nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """No program is installed, and PATH names none."""
    monkeypatch.delenv("BLOCKSYNC_FAST", raising=False)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(programs, "DIRECTORIES", ("/usr/bin", "/bin"))


@pytest.mark.parametrize("name", ["auto", "native"])
def test_auto_is_native_also_where_the_program_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("BLOCKSYNC_FAST", str(FakeProgram(tmp_path, TRIED).path))
    assert isinstance(choose(name), NativeEngine)


def test_the_program_is_found_by_variable_and_by_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = {}
    for version in ("1.02", "1.03"):
        (tmp_path / version).mkdir()
        paths[version] = str(FakeProgram(tmp_path / version, TRIED, version).path)
    monkeypatch.setenv("PATH", str(tmp_path / "1.03"))
    engine = choose("blocksync_fast")
    assert isinstance(engine, BlocksyncFastEngine)
    assert (engine.path, engine.version) == (paths["1.03"], "1.0.3")
    monkeypatch.setenv("BLOCKSYNC_FAST", paths["1.02"])
    assert choose("blocksync_fast").version == "1.0.2"


def test_a_missing_program_is_named_with_the_places(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EngineMissingError) as caught:
        choose("blocksync_fast")
    assert caught.value.message == "The program blocksync-fast is not installed (looked in /usr/bin, /bin)."
    assert "role blksync.backup.blocksync_fast" in caught.value.hint
    assert "engine native" in caught.value.hint
    for value, words in (("/opt/none", "does not exist"), ("./blocksync-fast", "no absolute path")):
        monkeypatch.setenv("BLOCKSYNC_FAST", value)
        with pytest.raises(EngineMissingError, match=words):
            choose("blocksync_fast")


ASKED = 'if [ "$1" = -V ]; then %s; fi\n'
SCRIPTS = {
    "an illegal instruction at once": (ASKED % "kill -ILL $$", r"was killed by SIGILL \(it was built for another"),
    "a missing library": (ASKED % ('echo "blocksync-fast: %s" >&2; exit 127' % LOADER), "status 127 .*libgcrypt.so.20"),
    "another program": (ASKED % "echo other 1.07; exit", 'status 0 and said "other 1.07"'),
    "a program that says nothing": ("exit 0", "said none"),
    "a missing interpreter": ("", "its interpreter or loader is missing"),
}


@pytest.mark.parametrize(("script", "reason"), SCRIPTS.values(), ids=list(SCRIPTS))
def test_a_program_that_cannot_start(tmp_path: Path, script: str, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "blocksync-fast"
    path.write_text("#!%s\n%s\n" % ("/bin/sh" if script else "/nowhere/sh", script))
    path.chmod(0o755)
    assert_unusable(path, reason, monkeypatch)


COPIES = {
    "an illegal instruction when copying": ("kill -ILL $$", "copying 12288 bytes it was killed by SIGILL"),
    "an option that is not known": ('echo "unknown option" >&2; exit 1', 'status 1 and said "unknown option"'),
    "nothing that is copied": (TRIED.replace(COPY, ""), "did not copy 12288 bytes as it said"),
    "no summary": (COPY, "copying 12288 bytes it said none"),
}


@pytest.mark.parametrize(("body", "reason"), COPIES.values(), ids=list(COPIES))
def test_a_program_that_cannot_copy(tmp_path: Path, body: str, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert_unusable(FakeProgram(tmp_path, body).path, reason, monkeypatch)


def test_a_file_that_is_no_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "blocksync-fast"
    path.write_bytes(FOREIGN)
    path.chmod(0o755)
    assert_unusable(path, "no program for this processor", monkeypatch)
    path.chmod(0o644)
    assert_unusable(path, "not executable", monkeypatch)
    monkeypatch.delenv("BLOCKSYNC_FAST")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EngineError, match="not executable"):
        choose("blocksync_fast")


def test_a_program_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start, "_PATIENCE", 0.2)
    assert_unusable(FakeProgram(tmp_path, "exec sleep 600").path, "did not end within", monkeypatch)


def assert_unusable(path: Path, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine cannot be chosen, and an image sync with it touches nothing, in check mode or not."""
    monkeypatch.setenv("BLOCKSYNC_FAST", str(path))
    with pytest.raises(EngineError, match=reason) as caught:
        choose("blocksync_fast")
    assert caught.value.message.startswith("The program %s cannot be used: " % path)
    assert "engine native" in caught.value.hint
    source, target = path.parent / "source", path.parent / "target"
    source.write_bytes(bytes(4096))
    before = sorted(path.parent.iterdir())
    for check in (True, False):
        request = ImageRequest(str(source), str(target), engine="blocksync_fast", create=True, check=check)
        with pytest.raises(EngineError, match="cannot be used"):
            image_sync.run(request, None, lambda: Machine(()))
    assert sorted(path.parent.iterdir()) == before


@pytest.mark.needs("cc")
def test_a_real_program_without_its_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone.c").write_text("int gone(void) { return 0; }\n")
    (tmp_path / "main.c").write_text("int gone(void);\nint main(void) { return gone(); }\n")
    library, path = tmp_path / "libgone.so", tmp_path / "blocksync-fast"
    subprocess.run(["cc", "-shared", "-o", library, tmp_path / "gone.c"], check=True, env={"PATH": os.defpath})
    subprocess.run(["cc", "-o", path, tmp_path / "main.c", library], check=True, env={"PATH": os.defpath})
    library.unlink()
    assert_unusable(path, "status 127 and said .*libgone.so", monkeypatch)
