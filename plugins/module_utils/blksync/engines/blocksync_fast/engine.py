# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The engine that runs the program blocksync-fast and then verifies its work.

Version 1.0.7 can report success and leave the target wrong: it may lose the last run of changed blocks, writes stale
memory after a short read, and ignores short writes and failed flushes. So every run is followed by a pass of the
native engine, which reads both sides again from the medium and writes the blocks that still differ.
"""

from __future__ import annotations

from typing import Collection, Sequence

from ...errors import DeviceReadError, EngineError
from ...ranges import Range, whole
from ...system.device import Device, allocate
from ..base import CopyOptions, Engine, Outcome, block_size
from ..monitor import Monitor
from ..native.engine import NativeEngine
from .argv import list_algorithms_argv, sync_argv
from .buffer import MAX_BUFFER, Geometry, geometry
from .output import KNOWN_VERSIONS, UNKNOWN, Summary, failure, parse_algorithms, parse_sync
from .passes import FirstPass, RepairedTarget, SecondPass
from .process import run_watched
from .start import ask, locate, try_out

_SCAN = 1024 * 1024  # bytes read at once when looking for a read error


class BlocksyncFastEngine(Engine):
    """Runs ``path``, the program of version ``version``, with at most ``buffer`` bytes of memory a device."""

    name = "blocksync_fast"

    def __init__(self, path: str, version: str, buffer: int = MAX_BUFFER) -> None:
        self.path = path
        self.version = version
        self._buffer = buffer

    @classmethod
    def find(cls) -> BlocksyncFastEngine:
        """The program where BLOCKSYNC_FAST says, else on the search path, tried out on a few blocks in memory.

        Raises EngineMissingError if there is none, EngineError if it cannot be used on this machine.
        """
        path = locate()
        return cls(path, try_out(path))

    def algorithms(self) -> Collection[str] | None:
        """See Engine: what the program lists."""
        return parse_algorithms(ask(self.path, list_algorithms_argv(self.path)).output)

    def compare(
        self, source: Device, target: Device, ranges: Sequence[Range], monitor: Monitor, options: CopyOptions
    ) -> Outcome:
        """Predict with the native engine, in the same blocks; the program does not run.

        Its own dry run (--dont-write) opens the target for writing, and counts what a stale cache or a short read
        shows it.
        """
        _check_whole(source, target, ranges)
        return NativeEngine().compare(source, target, ranges, monitor, options)

    def copy(
        self, source: Device, target: Device, ranges: Sequence[Range], monitor: Monitor, options: CopyOptions
    ) -> Outcome:
        """Run the program on the whole pair, then write what it left different, and count both together.

        Where the target shall not be read, or where a digest of it is kept, the native engine works alone. After a
        short read the program writes stale memory anywhere, so only reading all of it could verify what it did; and
        it opens the target once more, which nobody may do who keeps a digest (see image_lease).

        Raises what Engine.copy() does; EngineError for any end of the program but a clean one.
        """
        _check_whole(source, target, ranges)
        if options.checksums or not options.reads_target:
            outcome = NativeEngine().copy(source, target, ranges, monitor, options)
            outcome.notes.append(
                "The native engine did this alone: only it keeps digests and verifies without reading the target."
            )
            return outcome
        plan = geometry(source.size, block_size(source, target, least=options.block), self._buffer)
        if not plan.blocks:
            return Outcome(block=plan.block, blocks_total=0)
        summary = self._run(source, target, plan, monitor)
        repaired = RepairedTarget(target, plan)
        second = SecondPass(monitor, source.size, summary)
        try:
            outcome = NativeEngine().copy(source, repaired, ranges, second, options)
        except DeviceReadError as error:
            # The program ignores a read that ends early, and writes what its buffer held before.
            error.hint = "blocksync-fast may have written wrong data in its place. %s" % UNKNOWN
            raise
        finally:
            target.direct = repaired.direct  # refused direct I/O changes the descriptor, which they share
        outcome.bytes_read += 2 * source.size
        self._settle(outcome, summary, plan, repaired.last_window)
        if options.moving:
            outcome.notes = []  # what was different after the program's turn was written meanwhile, for all one can say
        return outcome

    def _run(self, source: Device, target: Device, plan: Geometry, monitor: Monitor) -> Summary:
        """Run the program and get what it wrote onto the medium."""
        watch = FirstPass(monitor, source.size)
        # It opens both sides through our descriptors, which it inherits (proc(5)): nothing that happens to a path
        # in /dev can make it write elsewhere or create a file, and our claim on the target lasts until it is gone.
        source_path, target_path = ["/proc/self/fd/%d" % device.fd for device in (source, target)]
        # It reads through the page cache, which may be older than the medium where a file system was mounted.
        source.drop_cache()
        target.drop_cache()
        argv = sync_argv(self.path, source_path, target_path, plan)
        ended = run_watched(argv, (source.fd, target.fd), watch)
        target.flush()  # before anything that it says is used: the program ignores the result of its own fsync
        source.drop_cache()
        target.drop_cache()
        if ended.status == 0 and not ended.errors.strip():
            return parse_sync(ended.output, source.size, plan)
        if "error while reading from '%s'" % source_path in ended.errors:
            _find_read_error(source, watch, plan)
        raise failure(ended, {source_path: source.path, target_path: target.path})

    def _settle(self, outcome: Outcome, summary: Summary, plan: Geometry, last_window: Sequence[int]) -> None:
        """Add what the program wrote to the native pass's ``outcome``; the block of a lost run counts once."""
        if plan.is_lost_run(summary.blocks, last_window):
            outcome.notes.append(
                "Wrote the block at byte %d, which blocksync-fast counted but did not write."
                % (last_window[0] * plan.block)
            )
            outcome.blocks_changed -= 1
            outcome.bytes_written -= plan.block
        if outcome.blocks_changed:
            outcome.notes.append(
                "Wrote %d bytes (blocks: %d) that blocksync-fast had left different from the source."
                % (outcome.bytes_written, outcome.blocks_changed)
            )
        if self.version not in KNOWN_VERSIONS:
            outcome.notes.append(
                "blocksync-fast %s is not a version known here; all that it wrote was checked." % self.version
            )
        outcome.blocks_changed += summary.blocks
        outcome.bytes_written += summary.size


def _check_whole(source: Device, target: Device, ranges: Sequence[Range]) -> None:
    if source.size != target.size:
        raise EngineError(
            "%s has %d bytes and %s has %d." % (source.path, source.size, target.path, target.size),
            "blocksync-fast takes pairs of equal size only.",
        )
    if tuple(ranges) != whole(source.size):
        raise EngineError("blocksync-fast takes the whole pair only.", "Use the engine native for ranges.")


def _find_read_error(source: Device, watch: FirstPass, plan: Geometry) -> None:
    """Read on from where the program stopped, so that the error names the byte: raises DeviceReadError.

    The program reports its place in whole percents, and only that a read failed.
    """
    buffer = allocate(_SCAN)
    at = max(0, watch.compared - plan.buffer) // _SCAN * _SCAN
    end = min(source.size, watch.compared + source.size // 100 + 2 * plan.buffer)
    while at < end:
        length = min(_SCAN, source.size - at)
        try:
            source.read(buffer[:length], at)
        except DeviceReadError as error:
            error.hint = UNKNOWN
            raise
        watch("")
        at += length
