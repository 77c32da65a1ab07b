# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The I/O priority of threads, as the kernel has it; each test in a thread of its own, which ends with it."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from blksync.system import io_priority

pytestmark = pytest.mark.needs("ionice")


def in_a_thread(function: Callable[[], object]) -> object:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result()


def shown() -> str:
    """What ionice says of this thread."""
    argv = ["ionice", "-p", str(threading.get_native_id())]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()


def test_idle_is_left_and_comes_back() -> None:
    def seen() -> list[object]:
        problems = [io_priority.put(io_priority.IDLE)]
        idle = io_priority.get()
        words = [shown()]
        problems.append(io_priority.leave_idle())
        words.append(shown())
        inherited = in_a_thread(io_priority.get)
        assert idle is not None
        problems.append(io_priority.put(idle))
        words.append(shown())
        return [problems, words, inherited]

    assert in_a_thread(seen) == [[""] * 3, ["idle", "best-effort: prio 4", "idle"], io_priority.BEST_EFFORT]


@pytest.mark.parametrize("priority", [2 << 13 | 7, 0])
def test_another_class_is_kept(priority: int) -> None:
    def seen() -> tuple[object, ...]:
        put = io_priority.put(priority)
        before = io_priority.get()
        return put, io_priority.leave_idle(), io_priority.get() == before

    assert in_a_thread(seen) == ("", "", True)


def test_a_priority_that_cannot_be_had() -> None:
    assert in_a_thread(lambda: io_priority.put(7 << 13)) == "Invalid argument"


def test_an_unknown_machine_keeps_its_priority(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(io_priority, "_GET", 0)
    assert io_priority.get() is None
    assert io_priority.leave_idle() == ""
