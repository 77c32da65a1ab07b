# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""A separate instance of tracefs in which the kernel reports every write to one disk.

It has its own buffers and its own switch, so no other use of tracing is disturbed. Kernel documentation:
trace/ftrace.rst ("Instances"), trace/events.rst ("Filtering"). The event block_bio_queue names the whole disk
and counts sectors of 512 bytes (linux/blk_types.h) from the start of the disk, not of the partition.
"""

from __future__ import annotations

import contextlib
import os

from ..errors import Reason
from ..system.processes import identify
from ..system.tracefs import PREFIX, find_tracefs
from .trace_events import LOST_EVENTS, parse_format

EVENT = "events/block/block_bio_queue"
TOTAL_BUFFER = 64 * 1024  # KiB, of the kernel's memory, for all processors together
LEAST_BUFFER, MOST_BUFFER = 2 * 1024, 8 * 1024  # KiB for each processor; 8 MiB hold 140,000 writes
LOSSES = ("overrun", "commit overrun", "dropped events")


class TraceInstance:
    """Reports the writes to the disk ``devno``, wherever on it.

    Raises OSError, ValueError or LiveDoubtError if the kernel does not let itself be traced.

    ``fds`` are the raw buffers of all processors, not blocking; each read() of ``page`` bytes gives one sub-buffer.
    """

    def __init__(self, devno: str) -> None:
        self.fds: list[int] = []
        root = find_tracefs()
        process = identify(os.getpid())
        self._path = os.path.join(root, "instances", "%s%s.%s" % (PREFIX, process["pid"], process["start"]))
        self.layout = parse_format(
            _read(os.path.join(root, EVENT, "id")),
            _read(os.path.join(root, EVENT, "format")),
            _read(os.path.join(root, "events/header_page")),
        )
        os.mkdir(self._path)
        try:
            self._set_up(devno)
        except BaseException:
            self.close()
            raise

    def _set_up(self, devno: str) -> None:
        major, minor = map(int, devno.split(":"))
        self._cpus = sorted(os.listdir(os.path.join(self._path, "per_cpu")))
        self._write("options/overwrite", "0")  # what is lost shall be what comes last, and be counted
        share = TOTAL_BUFFER // (os.cpu_count() or 1)
        self._write("buffer_size_kb", str(max(LEAST_BUFFER, min(MOST_BUFFER, share))))
        # Zeroing is a write whose flags have no W; a flush has no sectors.
        self._write(
            EVENT + "/filter",
            'dev == %d && nr_sector > 0 && !(rwbs ~ "R*")' % (major << 20 | minor),
        )
        self._filter = self._get(EVENT + "/filter")
        self.page = self._sub_buffer()
        for cpu in self._cpus:
            path = os.path.join(self._path, "per_cpu", cpu, "trace_pipe_raw")
            self.fds.append(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
        self._write(EVENT + "/enable", "1")

    def _sub_buffer(self) -> int:
        try:
            return int(self._get("buffer_subbuf_size_kb")) * 1024
        except FileNotFoundError:  # before Linux 6.8 it is always a page
            return os.sysconf("SC_PAGE_SIZE")

    def doubt(self) -> Reason | None:
        """Why writes may be missing from what was reported so far."""
        for cpu in self._cpus:
            for line in self._get("per_cpu/%s/stats" % cpu).splitlines():
                name, _colon, count = line.partition(": ")
                if name in LOSSES and int(count):
                    return LOST_EVENTS
        switches = [self._get(name) for name in ("tracing_on", EVENT + "/enable", EVENT + "/filter")]
        if switches == ["1", "1", self._filter]:
            return None
        return Reason("trace_changed", "something else changed the trace")

    def close(self) -> None:
        """Switch it off and remove it."""
        for fd in self.fds:
            os.close(fd)
        self.fds = []
        with contextlib.suppress(OSError):
            os.rmdir(self._path)

    def _get(self, name: str) -> str:
        return _read(os.path.join(self._path, name))

    def _write(self, name: str, text: str) -> None:
        with open(os.path.join(self._path, name), "w", encoding="ascii") as file:
            file.write(text)


def _read(path: str) -> str:
    with open(path, encoding="ascii") as file:
        return file.read().strip()
