# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Shows progress: a bar on a terminal, elsewhere one line every ten seconds."""

from __future__ import annotations

import contextlib
import signal
import sys
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Callable, Iterator

from ..sync.monitor import Progress
from ..sync.plan import Pair
from ..text import human_bytes, printable
from .format import clock
from .nonblocking import NonblockingWriter, writer

STDERR = 2
REDRAW = 0.2  # seconds between two pictures of the bar
LINE_EVERY = 10.0  # seconds between two lines where there is no terminal
BAR = 24  # characters

Clock = Callable[[], float]


@dataclass(frozen=True)
class View:
    """What there is to show of a pair. Bytes; ``seconds`` since it began; ``reading_back`` is None while it copies."""

    number: int
    size: int
    compared: int
    changed: int
    seconds: float
    reading_back: int | None = None


def bar_text(view: View, columns: int) -> str:
    """The bar, short enough for a terminal of that width."""
    if view.reading_back is not None:
        text = "partition %d  reading back  %s" % (view.number, human_bytes(view.reading_back))
        return text[: columns - 1]
    share = view.compared / view.size if view.size else 1.0
    full = int(share * BAR)
    picture = "[%s%s]" % ("#" * full, "." * (BAR - full))
    head, rest = "partition %d " % view.number, " %3d%%  %s" % (int(share * 100), _numbers(view))
    room = columns - 1
    return (head + picture + rest if len(head + picture + rest) <= room else head + rest)[:room]


def line_text(view: View) -> str:
    """The same in words, for a log."""
    if view.reading_back is not None:
        return "partition %d: reading back, %s" % (view.number, human_bytes(view.reading_back))
    share = int(100 * view.compared / view.size) if view.size else 100
    return "partition %d: %d%%, %s" % (view.number, share, _numbers(view))


def _numbers(view: View) -> str:
    rate = view.compared / view.seconds if view.seconds > 0 else 0.0
    left = clock((view.size - view.compared) / rate) if rate else "?"
    return "%s of %s, %s/s, %s changed, %s left" % (
        human_bytes(view.compared),
        human_bytes(view.size),
        human_bytes(rate),
        human_bytes(view.changed),
        left,
    )


class _Shown(Progress, ABC):
    """Keeps what there is to show and says when."""

    def __init__(self, out: NonblockingWriter, every: float, now: Clock) -> None:
        self.out = out
        self.every = every
        self.now = now
        self.began = self.shown = now()
        self.copied: tuple[int, int] = (0, 0)

    def waiting(self, sentence: str) -> bool:
        """Say at once for whom it waits."""
        self.out.write("Waiting for another run to end: %s\n" % printable(sentence))
        return True

    def pair_started(self, pair: Pair, engine: str) -> None:
        """Start from nothing."""
        self.began = self.now()
        self.copied = (0, 0)

    def advanced(self, pair: Pair, compared: int, changed: int) -> None:
        """Show it, if it is time."""
        self.copied = (compared, changed)
        # A log file may lie on the file system that is frozen at this moment.
        if not self.out.may_freeze:
            self._show_in_time(pair, None)

    def verifying(self, pair: Pair, read: int) -> None:
        """Show it, if it is time."""
        self._show_in_time(pair, read)

    def _show_in_time(self, pair: Pair, read: int | None) -> None:
        if self.now() - self.shown >= self.every:
            self.shown = self.now()
            self.show(View(pair.number, pair.size, *self.copied, self.now() - self.began, read))

    @abstractmethod
    def show(self, view: View) -> None:
        """Put it where it can be seen."""

    def close(self) -> None:
        """Leave the place tidy."""


class BarProgress(_Shown):
    """One line of a terminal, drawn over and over, and gone at the end."""

    drawn = 0  # characters on the line

    def __init__(self, out: NonblockingWriter, now: Clock = time.monotonic) -> None:
        super().__init__(out, REDRAW, now)

    def pair_started(self, pair: Pair, engine: str) -> None:
        """Start from nothing."""
        super().pair_started(pair, engine)
        self.show(View(pair.number, pair.size, 0, 0, 0.0))

    def pair_finished(self, pair: Pair, blocks_changed: int, written: int) -> None:
        """Leave the full bar standing."""
        compared, changed = pair.size, self.copied[1]
        self.show(View(pair.number, pair.size, compared, changed, self.now() - self.began))
        self.out.write("\n")
        self.drawn = 0

    def show(self, view: View) -> None:
        """Draw over what was there."""
        text = bar_text(view, self.out.columns())
        # Spaces over the rest of the picture before: no terminal is too old for them.
        self.out.write("\r%s" % text.ljust(self.drawn))
        self.drawn = len(text)

    def close(self) -> None:
        """What is printed next begins on a line of its own."""
        if self.drawn:
            self.out.write("\n")
            self.drawn = 0


class LineProgress(_Shown):
    """A line at most every LINE_EVERY seconds; nothing for what takes less."""

    def __init__(self, out: NonblockingWriter, now: Clock = time.monotonic) -> None:
        super().__init__(out, LINE_EVERY, now)

    def show(self, view: View) -> None:
        """Write a line."""
        self.out.write("%s\n" % line_text(view))


@contextlib.contextmanager
def watch() -> Iterator[Progress]:
    """Progress on standard error. During the sync Ctrl-Z is ignored: a stopped sync would keep the source frozen."""
    sys.stderr.flush()
    with _unstoppable(), writer(STDERR) as out:
        progress = BarProgress(out) if out.is_terminal else LineProgress(out)
        try:
            yield progress
        finally:
            progress.close()


@contextlib.contextmanager
def _unstoppable() -> Iterator[None]:
    """Ignore what a terminal stops processes with; programs that are started inherit that."""
    before = [(number, signal.signal(number, signal.SIG_IGN)) for number in (signal.SIGTSTP, signal.SIGTTOU)]
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)
