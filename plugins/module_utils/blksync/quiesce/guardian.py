# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The guardian: a separate process that quiesces for a sync, and restores however the sync ends.

It is forked and starts no program, so all that it needs is in memory. It does the steps itself and reports each step
to the sync first, so only one process acts at any time. When the sync ends, its end of the channel closes, and the
guardian restores. When the guardian ends, the sync notices in the same way, and restores the reported steps.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
import sys
import time
from types import FrameType
from typing import Sequence

from ..discovery.observe import beneath_path
from ..errors import BlksyncError, QuiesceError
from ..paths import RUN_DIR
from ..system import io_priority, libc
from ..system.processes import identify
from ..system.tracefs import is_tracing, remove_instances
from . import messages
from .actions.base import remedy
from .channel import Channel, ChannelClosedError, readable
from .messages import MalformedMessageError, Message
from .plan import is_stopped
from .recovery import StateFile
from .runner import Execution, describe, restore_error
from .step import Step, StepRecord, StepReport

HELLO_PATIENCE = 20.0  # seconds
DEATH_PATIENCE, DEATH_POLL = 60.0, 0.01  # seconds
OOM_NEVER = "-1000"  # proc(5), oom_score_adj
DEFECT = "Please report this as a defect of blksync, with the output of: blksync disks"
ASKED_TO_END = "the guardian was asked to end (SIGTERM)"
TIME_IS_OVER = "the time for it (quiesce_timeout) is over"


def start(label: str, directory: str = RUN_DIR) -> tuple[Channel, int, list[str]]:
    """Fork the guardian. Returns the sync's end of the channel, the guardian's process number, and its notes.

    Raises QuiesceError. No other thread may run in the calling process.
    """
    sync = os.getpid()
    try:
        ours, theirs = socket.socketpair()
    except OSError as error:
        raise _cannot_start(error) from error
    try:
        child = os.fork()
    except OSError as error:
        ours.close()
        theirs.close()
        raise _cannot_start(error) from error
    if child == 0:
        try:  # nothing of the caller's may run twice: not its handlers, not its finally clauses
            _become(theirs, label, sync, directory)
        finally:
            os._exit(0)
    theirs.close()
    with contextlib.suppress(ChildProcessError):  # where SIGCHLD is ignored nobody has to wait for it
        os.waitpid(child, 0)
    channel = Channel(ours)
    try:
        hello = channel.receive(HELLO_PATIENCE)
    except (ChannelClosedError, MalformedMessageError):
        hello = None
    if not isinstance(hello, (messages.Hello, messages.Failed)):
        channel.close()
        raise QuiesceError("The guardian process does not start, and without it nothing is frozen.", "Run again.")
    if isinstance(hello, messages.Failed):
        channel.close()
        raise QuiesceError(hello.message, hello.hint)
    return channel, hello.pid, list(hello.notes)


def _become(end: socket.socket, label: str, sync: int, directory: str) -> None:
    """In the process that start() forked: leave its session and be the guardian, or say why that cannot be."""
    try:
        os.setsid()
        if os.fork():
            return
        guardian = _Guardian(end, label, sync, directory)
    except Exception as error:  # noqa: BLE001  # the sync cannot know it otherwise
        with contextlib.suppress(ChannelClosedError):
            Channel(end).send(_failed(_cannot_start(error)))
    else:
        guardian.run()


def _cannot_start(error: Exception) -> QuiesceError:
    hint = remedy(error) if isinstance(error, OSError) else DEFECT
    return QuiesceError("Cannot start the guardian process: %s. Nothing was frozen." % describe(error), hint)


def _failed(error: BlksyncError, attempts: Sequence[StepReport] = ()) -> messages.Failed:
    return messages.Failed(error.kind, error.message, error.hint, tuple(attempts))


class _Guardian:
    """The process itself. ``run`` returns when the sync is over and everything is put back."""

    def __init__(self, end: socket.socket, label: str, sync: int, directory: str) -> None:
        self.notes: list[str] = []
        self._wake = _settle(end.fileno())
        self.notes += [problem for problem in [_lock()] if problem]
        self.channel = Channel(end)
        self.state = StateFile(label, sync, os.getpid(), directory)
        self.execution = Execution(self._record, unwanted=self._unwanted)
        self.sync = identify(sync)
        self._steps: dict[Step, Step] = {}
        self.deadline: float | None = None
        self.ended = ""
        self.sync_listens = True

    def run(self) -> None:
        """Serve until the sync ends it, dies, or a signal asks the guardian to end."""
        try:
            self._send(messages.Hello(os.getpid(), tuple(self.notes)))
            while self._serve_one():
                pass
        except Exception as error:  # noqa: BLE001  # the sync hears of it, and the source is put back
            self._restore("the guardian process failed (%s)" % describe(error))
        finally:
            self._give_up("")
            if self.execution.records:  # the state file stays until that is over
                self.execution.wait()
                self._give_up("")
            self.execution.finish()  # nothing is held open any more when the sync sees that the channel is closed
            if not self.sync_listens:
                self._remove_trace()

    def _serve_one(self) -> bool:
        left = None if self.deadline is None else self.deadline - time.monotonic()
        try:
            message = self.channel.receive(left, [self._wake])
        except ChannelClosedError:
            self.sync_listens = False
            return False
        if message is None:
            if _drain(self._wake):
                self._give_up(ASKED_TO_END)
                return False
            self._give_up(TIME_IS_OVER)
            return True
        return self._answer(message)

    def _answer(self, message: Message) -> bool:
        try:
            self._do(message)
        except BlksyncError as error:
            self._fail(error)
        except Exception as error:  # noqa: BLE001  # what it has done is undone, and it ends
            failures = self.execution.undo()
            self._fail(restore_error(failures) if failures else _unexpected(error))
            return False
        return not isinstance(message, messages.End)

    def _do(self, message: Message) -> None:
        if isinstance(message, messages.Prepare):
            self.execution.prepare([self._identified(step) for step in message.steps])
            self._send(messages.Done())
        elif isinstance(message, messages.Quiesce):
            steps = [self._identified(step) for step in message.steps]
            self.ended = ""
            if self.deadline is None:  # one limit for all that is quiesced together
                self.deadline = time.monotonic() + message.timeout
            self.state.usable = not _lies_on(self.state.path, steps)
            self.execution.carry_out(steps)
            self._send(messages.Records(tuple(self.execution.records)))  # with the times that are known now
            self._send(messages.Done(self.state.problem))
        elif isinstance(message, messages.Restore):
            self._restore(self.ended)
        elif not isinstance(message, messages.End):
            raise TypeError("%s is nothing to ask for" % message)

    def _identified(self, step: Step) -> Step:
        """With the device as it was when the step was first heard of, before anything was done."""
        if step not in self._steps:
            self._steps[step] = step.identified()
        return self._steps[step]

    def _fail(self, error: BlksyncError) -> None:
        """What was asked for was not done; what has been done of it is undone."""
        self.deadline = None
        self.execution.records = [record for record in self.execution.records if record.ended is None]
        self._send(_failed(error, self.execution.waits()))

    def _unwanted(self) -> str:
        """Why what was asked for last need not be waited for: the sync says nothing more before it has its answer."""
        if self.deadline is not None and time.monotonic() > self.deadline:
            return TIME_IS_OVER
        if readable([self._wake], 0):
            return ASKED_TO_END
        return "the sync ended" if self.channel.has_news() else ""

    def _give_up(self, reason: str) -> None:
        """Restore without being asked, and say so."""
        if self.execution.records:
            self.ended = reason
            self._restore(reason)

    def _restore(self, reason: str) -> None:
        """``reason`` says why the sync's copy is worth nothing, or is empty if it asked for this itself."""
        self.deadline = None
        failures = self.execution.undo()
        reason = reason or "; ".join(self.execution.disturbances)
        self._send(messages.Restored(tuple(self.execution.records), tuple(failures), reason))
        if not self.sync_listens:
            for failure in failures:
                _tell_kernel_log("%s %s" % (failure.message, failure.hint))
        self.execution.records = [record for record in self.execution.records if record.ended is None]

    def _remove_trace(self) -> None:
        """The sync, which may have traced writes, is dying: its trace can be removed when it is dead."""
        deadline = time.monotonic() + DEATH_PATIENCE
        while is_tracing(self.sync) and time.monotonic() < deadline:
            remove_instances()  # as long as one of its threads has the trace open this does nothing
            time.sleep(DEATH_POLL)

    def _record(self, records: list[StepRecord]) -> None:
        self._send(messages.Records(tuple(records)))
        self.state.write(records)

    def _send(self, message: Message) -> None:
        if self.sync_listens:
            try:
                self.channel.send(message)
            except ChannelClosedError:
                self.sync_listens = False


def _unexpected(error: Exception) -> QuiesceError:
    return QuiesceError("Quiescing failed: %s. Everything was put back." % describe(error), DEFECT)


def _lies_on(path: str, steps: Sequence[Step]) -> bool:
    """Whether writing there could wait for what this process alone can end: /run is not everywhere a tmpfs."""
    return is_stopped(steps, beneath_path(path))


def _settle(keep: int) -> int:
    """Let go of all that the sync has open, and take signals. Returns a descriptor to read when one asks for the end.

    A descriptor kept by mistake would hold the sync's claims and locks when it is long dead.
    """
    gc.disable()  # collecting the sync's objects could close descriptors of the same number
    sys.dont_write_bytecode = True
    os.chdir("/")
    for name in os.listdir("/proc/self/fd"):
        if int(name) != keep:
            with contextlib.suppress(OSError):
                os.close(int(name))
    null = os.open(os.devnull, os.O_RDWR)
    for fd in range(3):
        if fd not in (null, keep):
            os.dup2(null, fd)
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.set_wakeup_fd(writer)
    signal.signal(signal.SIGTERM, _noted)
    return reader


def _noted(_number: int, _frame: FrameType | None) -> None:
    """The wake-up descriptor says the rest."""


def _lock() -> str:
    """Stay in memory, also when memory is short, and leave the I/O class idle."""
    libc.set_process_name("blksync-guard")
    io_priority.leave_idle()
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
        file.write(OOM_NEVER)
    problem = libc.lock_memory()
    return "The guardian could not be locked in memory: %s." % problem if problem else ""


def _drain(fd: int) -> bool:
    return bool(readable([fd], 0)) and bool(os.read(fd, 100))


def _tell_kernel_log(text: str) -> None:
    """Where nobody listens any more; everything is thawed by now that can be."""
    with contextlib.suppress(OSError), open("/dev/kmsg", "w", encoding="utf-8", errors="replace") as log:
        log.write("<3>blksync: %s\n" % text)
