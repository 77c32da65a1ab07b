# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Limit the speed of block devices through the block I/O controller (cgroup v1, blkio.throttle)."""

from __future__ import annotations

from pathlib import Path

CONTROLLER = Path("/sys/fs/cgroup/blkio")
FILES = ("blkio.throttle.read_bps_device", "blkio.throttle.write_bps_device")


class SpeedLimit:
    """A context manager: ``bytes_per_second`` for reading and as much for writing, for each device "major:minor".

    Raises OSError where this machine cannot limit.
    """

    def __init__(self, devices: list[str], bytes_per_second: int) -> None:
        self._devices = devices
        self._limit = bytes_per_second

    def __enter__(self) -> SpeedLimit:
        try:
            self._set(self._limit)
        except OSError:
            self._set_quietly(0)
            raise
        return self

    def __exit__(self, *_exc: object) -> None:
        self._set_quietly(0)

    def _set(self, limit: int) -> None:
        for group in _groups():
            for name in FILES:
                for device in self._devices:
                    (group / name).write_text(f"{device} {limit}\n")

    def _set_quietly(self, limit: int) -> None:
        try:
            self._set(limit)
        except OSError as error:
            print(f"bench: cannot lift the limit of {self._devices}: {error}")


def why_not() -> str:
    """Why speed cannot be limited here; empty where it can."""
    missing = [name for name in FILES if not (CONTROLLER / name).exists()]
    return f"no {missing[0]} in {CONTROLLER}" if missing else ""


def _groups() -> list[Path]:
    """The control groups whose limits count for this process and for the kernel's own writing: ours and the root."""
    groups = [CONTROLLER]
    for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines():
        _number, controllers, path = line.split(":", 2)
        ours = CONTROLLER / path.lstrip("/")
        if "blkio" in controllers.split(",") and ours != CONTROLLER and ours.exists():
            groups.append(ours)
    return groups
