# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The step that quiesces one file system, and the record of its progress, as plain data for JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any, Iterator, Sequence

from ..system.mountinfo import Mount
from .identity import Identity, is_node, observe

JOURNAL, UNMOUNT, FREEZE = "journal", "unmount", "freeze"
FROZEN = "frozen"  # the action of freezing


@dataclass(frozen=True)
class Step:
    """One step of quiescing. ``kind`` is JOURNAL, UNMOUNT or FREEZE.

    ``device`` is the node of the block device that the file system lies on, ``backing_devno`` its number. ``devno`` is
    the number that mountinfo shows (another one for btrfs). ``mounts`` are all mounts of it, parents first.
    ``obstacle`` says why it cannot be unmounted, where that is known already. ``identity`` is what else is known of
    the backing device; two steps are equal without it. ``nested``: the file system lies in a file of another one that
    is quiesced, so this step makes the copy better and is not needed.
    """

    kind: str
    device: str = ""
    backing_devno: str = ""
    devno: str = ""
    fstype: str = ""
    mounts: tuple[Mount, ...] = ()
    obstacle: str = ""
    identity: Identity | None = field(default=None, compare=False)
    nested: bool = False

    @property
    def name(self) -> str:
        """What messages call it: "/mnt on /dev/sda2"."""
        if not self.mounts:
            return self.device or "the system log"
        return "%s on %s" % (self.mounts[0].mountpoint, self.device)

    @property
    def mountpoints(self) -> list[str]:
        """Where the file system is mounted, each place once."""
        return list(dict.fromkeys(mount.mountpoint for mount in self.mounts))

    def is_of(self, mount: Mount) -> bool:
        """Whether the mount is one of this file system. btrfs gets another number each time it is mounted, and its last
        one may be given to any other file system without a device (fs/super.c, get_anon_bdev)."""
        if mount.devno == self.devno:
            return self.devno == self.backing_devno or mount.fstype == self.fstype
        return (
            self.devno != self.backing_devno
            and mount.fstype == self.fstype
            and is_node(mount.source, self.backing_devno)
        )

    def to_data(self) -> dict[str, Any]:
        """As JSON takes it."""
        return asdict(self)

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> Step:
        """The step that to_data() was made from."""
        mounts = tuple(Mount(**{**mount, "propagation": tuple(mount["propagation"])}) for mount in data["mounts"])
        identity = Identity(**data["identity"]) if data.get("identity") else None
        return cls(**{**data, "mounts": mounts, "identity": identity})

    def identified(self) -> Step:
        """The same step with the identity of the device that has the backing device's number now."""
        return replace(self, identity=self.observe())

    def observe(self) -> Identity | None:
        """The device that has the backing device's number now; None if there is none."""
        return observe(self.backing_devno, next(self.nodes(), ""))

    def nodes(self, first: str = "") -> Iterator[str]:
        """Paths that lead to the backing device's number now.

        Links below /dev/disk are no such paths, because they can be given to the other disk at any moment.
        """
        for path in (first, self.device, "/dev/block/%s" % self.backing_devno):
            if path.startswith("/dev/") and not path.startswith("/dev/disk/") and is_node(path, self.backing_devno):
                yield path

    @property
    def replaced(self) -> bool:
        """Whether the backing device's number is another device's now."""
        now = self.observe() if self.identity else None
        return bool(self.identity and now and not self.identity.is_same(now))


@dataclass
class StepRecord:
    """A step that is being done or has been done, and how. ``action`` is the name of an Action.

    ``begun`` and ``ended`` (undone again), ``stopped`` and ``resumed`` (between them writers waited; None: not known,
    because they never waited or the one who measured it died) are seconds of the monotonic clock, which all
    processes share. ``note`` is a sentence for the user, or empty.
    """

    step: Step
    action: str
    begun: float
    ended: float | None = None
    stopped: float | None = None
    resumed: float | None = None
    note: str = ""

    def to_data(self) -> dict[str, Any]:
        """As JSON takes it."""
        return dict(vars(self), step=self.step.to_data())

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> StepRecord:
        """The entry that to_data() was made from."""
        return cls(**{**data, "step": Step.from_data(data["step"])})

    def report(self, now: float) -> StepReport:
        """What was done so far. If nobody is left who knows how long writers waited, they waited all the time."""
        ended = self.ended or now
        frozen = (self.resumed or ended) - (self.stopped or self.begun) if self.action == FROZEN else 0.0
        return StepReport(
            device=self.step.device,
            fstype=self.step.fstype,
            mountpoints=self.step.mountpoints,
            action=self.action,
            seconds=round(ended - self.begun, 3),
            frozen_seconds=round(frozen, 3),
        )


@dataclass(frozen=True)
class StepReport:
    """For the result of a sync: what was done to which file system, and for how many seconds.

    ``seconds`` include the doing. ``frozen_seconds`` are those in which writers waited, from the call of FIFREEZE to
    the end of FITHAW (linux/fs.h).
    """

    device: str
    fstype: str
    mountpoints: list[str]
    action: str
    seconds: float
    frozen_seconds: float

    def plus(self, later: StepReport) -> StepReport:
        """With the seconds of the same action, done to the same file system again."""
        seconds = round(self.seconds + later.seconds, 3)
        return replace(self, seconds=seconds, frozen_seconds=round(self.frozen_seconds + later.frozen_seconds, 3))

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> StepReport:
        """The report that dataclasses.asdict() made this from."""
        return cls(**data)


def add_up(earlier: Sequence[StepReport], now: Sequence[StepReport]) -> list[StepReport]:
    """Reports of the same file systems, frozen several times, as one for each: the seconds are sums."""
    sums = {(report.device, report.action): report for report in earlier}
    for report in now:
        key = report.device, report.action
        before = sums.get(key)
        sums[key] = before.plus(report) if before else report
    return list(sums.values())
