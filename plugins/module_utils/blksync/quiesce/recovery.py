# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The state file in /run: the steps to undo if the sync and its guardian are both killed."""

from __future__ import annotations

import contextlib
import json
import os
import time
from dataclasses import dataclass, field
from typing import Any, Sequence

from ..errors import BlksyncError, UntrustedError
from ..paths import RUN_DIR
from ..system import atomic_file, private_dir
from ..system.processes import identify, is_alive, status
from ..system.tracefs import remove_instances
from .actions.freeze_process import NAME as FREEZER
from .runner import Execution, Failure
from .step import StepRecord, StepReport

PREFIX, SUFFIX = "quiesce-", ".json"
PATIENCE = 20.0  # seconds: a guardian whose sync has just died is about to restore
POLL = 0.05


class StateFile:
    """The file of one guardian. Writing it is never worth failing for: ``problem`` says why it is not there.

    ``usable`` is False while the directory lies on what is about to be frozen: then nothing is written.
    """

    def __init__(self, label: str, sync: int, guardian: int, directory: str = RUN_DIR) -> None:
        self.path = os.path.join(directory, "%s%d%s" % (PREFIX, guardian, SUFFIX))
        session = int((status(guardian) or "0000")[3])
        self._head = {"label": label, "sync": identify(sync), "guardian": identify(guardian), "session": session}
        self.problem = ""
        self.usable = True

    def write(self, entries: Sequence[StepRecord]) -> None:
        """Write the steps that must be undone, or remove the file if there are none."""
        if not entries:
            self.remove()
            return
        if not self.usable:
            self.problem = "%s lies on the source: no state file is written." % os.path.dirname(self.path)
            return
        try:
            with private_dir.opened(os.path.dirname(self.path)):
                _write(self.path, self._head, entries)
        except BlksyncError as error:
            self.problem = str(error)
        except OSError as error:
            self.problem = "Cannot write %s: %s." % (self.path, os.strerror(error.errno or 0))

    def remove(self) -> None:
        """Nothing is left to restore."""
        for path in (self.path, self.path + "~"):
            with contextlib.suppress(OSError):
                os.unlink(path)


@dataclass
class RestoredRun:
    """One state file that was found. ``label`` is what the run was for.

    ``running``: its sync or guardian lives, so it was left alone. ``actions`` are the undone steps,
    ``failures`` what could not be put back. The file stays for those that can be tried again.
    """

    label: str
    running: bool = False
    actions: list[StepReport] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)


def restore_state(directory: str = RUN_DIR, patience: float = PATIENCE) -> list[RestoredRun]:
    """Put back what dead runs left, as their state files say, and end their traces of writes. Runs that live are
    waited for, then left alone.

    Raises BlksyncError for a file that cannot be understood, after all others have been dealt with.
    """
    remove_instances()
    runs: list[RestoredRun] = []
    broken: list[str] = []
    for path in _files(directory):
        try:
            run = _restore_one(path, patience)
        except (OSError, ValueError, KeyError, TypeError, UntrustedError):
            broken.append(path)
        else:
            runs += [run] if run is not None else []
    if broken:
        raise BlksyncError(
            "Cannot understand %s." % ", ".join(broken),
            "Look into /proc/self/mountinfo for what is missing, then delete it.",
        )
    return runs


def has_leftovers(directory: str = RUN_DIR) -> bool:
    """Whether a run whose processes are all gone left something to put back; False if this user may not look."""
    paths: list[str] = []
    with contextlib.suppress(BlksyncError):
        paths = _files(directory)
    for path in paths:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError), open(path, encoding="ascii") as file:
            record = json.load(file)
            if not (is_alive(record["sync"]) or is_alive(record["guardian"])):
                return True
    return False


def _restore_one(path: str, patience: float) -> RestoredRun | None:
    deadline = time.monotonic() + patience
    while True:
        try:
            record = json.loads(atomic_file.read(path))
        except FileNotFoundError:
            return None  # its own guardian has restored meanwhile
        if not (is_alive(record["sync"]) or is_alive(record["guardian"]) or _freezes(record.get("session"))):
            break
        if is_alive(record["sync"]) or time.monotonic() > deadline:
            return RestoredRun(record["label"], running=True)
        time.sleep(POLL)
    execution = Execution(lambda _records: None, [StepRecord.from_data(entry) for entry in record["entries"]])
    failures = execution.undo()
    gone = {failure.devno for failure in failures if failure.gone}
    done = [entry for entry in execution.records if entry.ended is not None and entry.step.backing_devno not in gone]
    actions = [entry.report(time.monotonic()) for entry in done]
    left = [entry for entry in execution.records if entry.ended is None]
    execution.finish()
    if left:
        _write(path, record, left)
    else:
        os.unlink(path)
    return RestoredRun(record["label"], actions=actions, failures=failures)


def _write(path: str, head: dict[str, Any], entries: Sequence[StepRecord]) -> None:
    """Put the file there as a whole; raises OSError."""
    with os.fdopen(atomic_file.create(path + "~", 0o600), "w", encoding="ascii") as file:
        json.dump(dict(head, entries=[entry.to_data() for entry in entries]), file)
    os.replace(path + "~", path)


def _freezes(session: int | None) -> bool:
    """Whether a process that the guardian left, in the session of its own, still waits in FIFREEZE."""
    pids = [int(name) for name in os.listdir("/proc") if name.isdigit()] if session else []
    return any(status(pid)[3:4] == [str(session)] and _name(pid) == FREEZER for pid in pids)


def _name(pid: int) -> str:
    try:
        with open("/proc/%d/comm" % pid, encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""


def _files(directory: str) -> list[str]:
    """What root mounts is said there: nobody else may have written it. Raises UntrustedError, BlksyncError."""
    try:
        private_dir.expect_own(os.lstat(directory), directory)
        names = sorted(os.listdir(directory))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise BlksyncError(
            "Cannot read %s: %s." % (directory, os.strerror(error.errno or 0)), "Run as root."
        ) from error
    return [os.path.join(directory, name) for name in names if name.startswith(PREFIX) and name.endswith(SUFFIX)]
