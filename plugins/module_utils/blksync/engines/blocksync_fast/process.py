# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Runs blocksync-fast, watches it, and ends it with the process that started it."""

from __future__ import annotations

import ctypes
import os
import selectors
import signal
import subprocess
from contextlib import suppress
from typing import Callable, Sequence

from ...errors import EngineError, why
from ...system import programs
from .output import Ended

TICK = 0.5  # seconds between two calls of the watcher while the program is silent
KEPT = 64 * 1024  # characters of each output that are kept, the last ones

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_CHUNK = 64 * 1024


def run_watched(argv: Sequence[str], descriptors: Sequence[int], watch: Callable[[str], None]) -> Ended:
    """Run ``argv`` to its end, with ``descriptors`` inherited under their own numbers.

    ``watch`` is called with the end of what the program printed, every TICK seconds or more often, and after its
    end once more: so a signal that ends both is a cancellation here, not a failure there. If it raises, or anything
    else does, the program is killed and waited for; if this process dies, the kernel kills the program.
    Raises EngineError if the program cannot be started.
    """
    try:
        child = programs.start(argv, descriptors, _die_with_parent())
    except (OSError, subprocess.SubprocessError) as error:
        raise EngineError("Cannot start %s: %s." % (argv[0], why(error))) from error
    try:
        output = _follow(child, watch)
        return Ended(child.wait(), *output)
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()
        programs.close_outputs(child)


def _die_with_parent() -> Callable[[], None]:
    """What the child does between fork and exec; the library is loaded here, before the fork."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def prepare() -> None:
        if prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "prctl")
        if os.getppid() != parent:  # it died before the line above took effect
            os.kill(os.getpid(), signal.SIGKILL)

    return prepare


def _follow(child: subprocess.Popen[bytes], watch: Callable[[str], None]) -> tuple[str, str]:
    """Read both outputs until the program has closed them or has ended, and return their last KEPT characters."""
    texts = {"output": "", "errors": ""}
    with selectors.DefaultSelector() as selector:
        for name, pipe in (("output", child.stdout), ("errors", child.stderr)):
            if pipe:
                os.set_blocking(pipe.fileno(), False)
                selector.register(pipe, selectors.EVENT_READ, name)
        while selector.get_map():
            ended = child.poll() is not None  # asked before reading: nothing is written after it
            events = selector.select(0 if ended else TICK)
            for key, _mask in events:
                data = os.read(key.fd, _CHUNK)
                if not data:
                    selector.unregister(key.fileobj)
                texts[key.data] = (texts[key.data] + data.decode("utf-8", "replace"))[-KEPT:]
            watch(texts["output"])
            if ended and not events:
                break
    while child.poll() is None:  # it closed its outputs and goes on
        with suppress(subprocess.TimeoutExpired):
            child.wait(TICK)
        watch(texts["output"])
    return texts["output"], texts["errors"]
