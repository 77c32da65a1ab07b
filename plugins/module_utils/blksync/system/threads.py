# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Threads that always end, also if a signal handler raises an exception."""

from __future__ import annotations

import contextlib
import signal
import threading
from typing import Callable, Iterator, Sequence

# The default of 8 MiB a thread would all be locked into memory where the process has called mlockall().
STACK = 256 * 1024

# Not those that a fault of the thread itself raises.
HELD = signal.valid_signals() - {signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT}


@contextlib.contextmanager
def signals_held() -> Iterator[None]:
    """Block signals in this thread, and permanently in the threads that it starts."""
    former = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        signal.pthread_sigmask(signal.SIG_BLOCK, HELD)
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, former)


class ThreadGroup:
    """Threads that run together and end together. ``wake`` makes them all end; calling it again is harmless."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._threads: list[threading.Thread] = []

    def start(self, functions: Sequence[Callable[[], None]]) -> None:
        """Run every function in a thread of its own, or none of them."""
        try:
            with signals_held():
                for function in functions:
                    self._start(function)
        except BaseException:
            self.end()
            raise

    def end(self) -> None:
        """Wake all threads and wait for them, in one piece: what a signal handler raises is raised afterwards.

        An interrupted Thread.join() would take a running thread for one that has ended (CPython issue 89437).
        """
        try:
            with signals_held():
                self._end()
        except BaseException:
            self._end()  # the handler of an earlier signal ran when the signals were to be held
            raise

    def _start(self, function: Callable[[], None]) -> None:
        thread = threading.Thread(target=function, name="blksync", daemon=True)
        before = threading.stack_size(STACK)
        try:
            thread.start()
            self._threads.append(thread)
        finally:
            threading.stack_size(before)

    def _end(self) -> None:
        self._wake()
        for thread in self._threads:
            thread.join()
