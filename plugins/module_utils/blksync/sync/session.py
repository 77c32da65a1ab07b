# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The steps of every run: a sync of disks or images, and a delta that is created or applied.

Restore after a killed run, observe, plan, refuse, ask, lock, claim, observe again, quiesce, work, verify, commit,
restore, report. Each kind of run is a guest, which does the work on blocks.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import ExitStack
from dataclasses import replace
from typing import Callable, Sequence

from ..discovery.model import Disk, Machine
from ..errors import BlksyncError, DeviceBusyError, RefusedError, Report
from ..quiesce.client import Quiescer
from ..quiesce.recovery import RestoredRun, restore_state
from ..quiesce.runner import Failure, restore_error
from ..system import locks
from ..system.signals import Cancellation
from . import superblock_refusals
from .bookkeeping import Achieved, Bookkeeping
from .plan import Plan

Observe = Callable[[], Machine]
WAIT_LIMIT = 4 * 3600.0  # seconds that a run waits for others that work on the same disk or image


class Guest(ABC):
    """What is special about one kind of run. The session calls the methods in this order.

    ``check``: nothing is written, quiesced or locked. ``timeout``: for how many seconds sources may be quiesced.
    ``purpose`` is what the run is for, for whoever is locked out. ``warnings`` are sentences for the user.
    ``books`` are the run's entries in the records, None if it keeps none; ``written`` are the disks that the run writes
    to, as planned last, none for an image file.
    """

    purpose = ""

    def __init__(self, check: bool, timeout: float, books: Bookkeeping | None = None) -> None:
        self.check = check
        self.timeout = timeout
        self.books = None if check else books
        self.warnings: list[str] = []
        self.written: Sequence[Disk] = ()
        self.interrupted = ""  # a signal that came when nothing was left to end

    @abstractmethod
    def make_plan(self, machine: Machine) -> Plan:
        """What is to be done, with all reasons not to. Called again with everything claimed."""

    @abstractmethod
    def begin(self, plan: Plan, machine: Machine) -> None:
        """Nothing speaks against the plan. Called again for a later plan if somebody was asked or waited for."""

    def confirm(self) -> bool:
        """Ask the user, if the run is one that asks. Returns whether somebody was asked. Raises DeclinedError."""
        return False

    @abstractmethod
    def predict(self, opened: ExitStack, cancellation: Cancellation) -> None:
        """In check mode: find out what would be written, with everything open for reading only."""

    @abstractmethod
    def locks(self) -> tuple[Sequence[Disk], str]:
        """The disks, and the real path of an image file or "", that no other run may work on at the same time."""

    def achieved(self) -> Achieved:
        """What the run did to these disks since ``begin``."""
        return Achieved()

    def waiting(self, sentence: str) -> None:
        """Another run has one of these, as ``sentence`` says, and is waited for."""
        self.warnings.append("Waited for the end of another run. %s" % sentence)

    @abstractmethod
    def claim(self, held: ExitStack) -> None:
        """Open, and claim what will be written, to the end of the run. Raises DeviceBusyError."""

    @abstractmethod
    def essence(self, plan: Plan) -> object:
        """What must be the same when everything is claimed as when it was planned. ``plan`` was made last."""

    @abstractmethod
    def work(self, quiescer: Quiescer, cancellation: Cancellation) -> None:
        """Copy and verify, with the sources quiesced no longer than needed."""

    @abstractmethod
    def commit(self) -> None:
        """All is verified: make it real."""

    def report(self) -> Report | None:
        """How far the run came, for the error that ended it."""
        return None


def run(guest: Guest, observe: Observe) -> None:
    """Raises BlksyncError; its ``report`` says how far the run came."""
    leftovers = [] if guest.check else put_back_leftovers()
    begun = False
    try:
        machine = observe()
        plan = guest.make_plan(machine)
        if plan.refusals:
            raise RefusedError(plan.refusals)
        guest.warnings += plan.warnings
        guest.begin(plan, machine)
        guest.warnings += concerning(leftovers, machine, guest.locks()[0])
        if not guest.check and guest.confirm():
            plan = _plan_anew(guest, plan, observe)  # the answer may have taken hours
        begun = True
        with Cancellation() as cancellation:
            if guest.check:
                with ExitStack() as opened:
                    guest.predict(opened, cancellation)
            else:
                _carry_out(guest, plan, observe, cancellation)
        guest.interrupted = cancellation.reason
    except BlksyncError as error:
        _write_down(guest, guest.achieved() if begun else Achieved(), error)
        if begun:
            error.report = guest.report()
        raise


def examined(plan: Plan, allow_damaged_source: bool) -> Plan:
    """The plan with what the superblocks on its pairs speak against it."""
    findings = superblock_refusals.examine(plan.pairs, allow_damaged_source)
    return replace(plan, refusals=(*plan.refusals, *findings.refusals), warnings=(*plan.warnings, *findings.warnings))


def _carry_out(guest: Guest, plan: Plan, observe: Observe, cancellation: Cancellation) -> None:
    """Claim all that will be written before the first write, and hold it to the end."""
    with ExitStack() as held:
        plan = _lock(guest, plan, observe, cancellation, held)
        try:
            _work(guest, plan, observe, held, cancellation)
        except BlksyncError as error:
            _write_down(guest, guest.achieved(), error)  # as long as the disks are locked
            raise
        _write_down(guest, guest.achieved())


def _work(guest: Guest, plan: Plan, observe: Observe, held: ExitStack, cancellation: Cancellation) -> None:
    """With all disks locked: to the end, and everything put back."""
    planned = guest.essence(plan)
    guest.claim(held)
    _expect_unchanged(guest, planned, guest.make_plan(observe()))
    if guest.books:
        guest.books.begin(guest.written, plan.pairs)
    with Quiescer(timeout=guest.timeout, label=guest.purpose) as quiescer:
        quiescer.prepare([pair.quiesce for pair in plan.pairs])
        try:
            guest.work(quiescer, cancellation)
        finally:
            guest.warnings += quiescer.notes
        guest.commit()


def _write_down(guest: Guest, achieved: Achieved, error: BlksyncError | None = None) -> None:
    """What came of the run, once everything is put back; of several calls the first one counts."""
    if guest.books:
        guest.warnings += guest.books.end(guest.written, achieved, error)


def _lock(guest: Guest, plan: Plan, observe: Observe, cancellation: Cancellation, held: ExitStack) -> Plan:
    """Lock what the run works on. If another run had to be waited for, all is observed and planned anew."""
    patience = locks.Patience(WAIT_LIMIT, guest.waiting, cancellation.check)
    while True:
        with ExitStack() as taken:
            disks, image = guest.locks()
            if image:
                taken.enter_context(locks.hold_file(image, guest.purpose, patience))
            for disk in sorted(disks, key=lambda disk: disk.devno):
                taken.enter_context(locks.hold(disk.devno, disk.path, disk.describe(), guest.purpose, patience))
            if not patience.waited:
                held.push(taken.pop_all())
                return plan
        patience.waited = False
        plan = _plan_anew(guest, plan, observe)


def _plan_anew(guest: Guest, plan: Plan, observe: Observe) -> Plan:
    """The plan for the machine as it is now, in place of an older one."""
    machine = observe()
    later = guest.make_plan(machine)
    if later.refusals:
        raise RefusedError(later.refusals)
    guest.warnings[:] = [warning for warning in guest.warnings if warning not in plan.warnings]
    guest.warnings += later.warnings
    guest.begin(later, machine)
    return later


def _expect_unchanged(guest: Guest, planned: object, now: Plan) -> None:
    """What was claimed must be what was planned: disks can be swapped between looking and claiming."""
    if now.refusals:
        raise RefusedError(now.refusals)
    if guest.essence(now) != planned:
        raise DeviceBusyError(
            "The source, the target or their mounts changed while the run was about to begin.",
            "Nothing was written; run again.",
        )


def put_back_leftovers() -> list[RestoredRun]:
    """Restore what runs left whose processes were all killed, so that this one finds the machine as it belongs."""
    return [run for run in restore_state() if not run.running]


def concerning(leftovers: Sequence[RestoredRun], machine: Machine, disks: Sequence[Disk]) -> list[str]:
    """What a run that works on these disks has to say of the leftovers: a sentence or two for each.

    Raises RestoreError if something on these disks could not be put back. What lies on other disks, or on one that is
    gone, is no reason to fail.
    """
    said: list[str] = []
    ours: list[Failure] = []
    for run in leftovers:
        if run.actions:
            said.append("Put back first what a killed run (%s) had left frozen or unmounted." % run.label)
        for failure in run.failures:
            if not failure.gone and {disk.devno for disk in disks}.intersection(machine.disks_under(failure.devno)):
                ours.append(failure)
            else:
                said.append("Left by a killed run (%s): %s %s" % (run.label, failure.message, failure.hint))
    if ours:
        raise restore_error(ours)
    return said
