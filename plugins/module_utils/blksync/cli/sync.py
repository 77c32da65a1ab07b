# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The ``blksync sync`` command: syncs by job or by options."""

from __future__ import annotations

import argparse
from dataclasses import replace
from functools import partial

from ..discovery.observe import observe
from ..errors import BlksyncError, InvalidRequestError, RefusedError, UntrustedError, described
from ..jobs import config, notify, targets
from ..jobs import run as job_run
from ..jobs.run import Result
from ..options import SyncRequest
from ..options.kinds import options_of
from ..records.run import Origin
from ..report import known
from ..sync.bookkeeping import Bookkeeping
from ..sync.proposal import Proposal
from . import messages, question, results
from .arguments import ERROR, OK, TARGET_ABSENT, USAGE, flag
from .progress_bar import watch
from .wording import as_flags


def run(options: argparse.Namespace) -> int:
    """Sync by job or by options."""
    table = options_of(SyncRequest)
    given = {name: getattr(options, name) for name in table if getattr(options, name) is not None}
    if options.job:
        discard_changes = given.pop("discard_changes", False)
        if given:
            flags = " and ".join(flag(name, table[name]) for name in given)
            raise InvalidRequestError(
                "%s %s not go with a job." % (flags, "does" if len(given) == 1 else "do"),
                "Change the job's file, or leave JOB out and name --source and --target.",
            )
        job = config.load(options.job, options.config_dir)
        if discard_changes:
            job = replace(job, sync=replace(job.sync, discard_changes=True))
        return _run_job(job, options)
    if "source" not in given or "target" not in given:
        raise InvalidRequestError("Name a job, or both --source and --target.", "blksync sync --help shows examples.")
    request = SyncRequest.of(given, options.check, lambda name: flag(name, table[name]))
    asks = not options.yes and not request.check
    if asks and not question.is_possible():
        raise InvalidRequestError(
            "Without a terminal nobody can be asked whether to overwrite the backup disk.",
            "Add --yes to overwrite it without a question, or --check to see what would be written.",
        )
    return _run_once(request, options, asks)


def _run_once(request: SyncRequest, options: argparse.Namespace, asks: bool) -> int:
    shown: list[str] = []

    def agree(proposal: Proposal) -> bool:
        shown.extend(proposal.warnings)
        return question.agree(proposal)

    books = Bookkeeping(Origin(job_run.DOOR), "disk_sync", str(request.target), options.state_dir)
    with watch() as progress:
        result = job_run.sync_once(request, progress, books, agree=agree if asks else None)
    written = partial(as_flags, options=options_of(SyncRequest))
    results.show((result,), request.check, options.json, written=written, shown=shown)
    return exit_code((result,))


def _run_job(job: config.Job, options: argparse.Namespace) -> int:
    found = targets.look(observe(), job)
    for sentence in found.strangers:
        messages.warn(sentence)
    if not found.present:
        results.show_absent(job, options.json)
        return OK if job.when_absent == "skip" else TARGET_ABSENT
    with watch() as progress:
        if options.check:
            outcome = job_run.compare(job, found.present, progress, options.state_dir)
        else:
            begun = partial(_write_metrics, job, options.state_dir)
            outcome = job_run.carry_out(job, found.present, progress, options.state_dir, begun)
    # The only option of the job's file that is a flag beside a job as well.
    written = partial(as_flags, options={"discard_changes": options_of(SyncRequest)["discard_changes"]})
    results.show(outcome.results, options.check, options.json, job, written)
    if not options.check and outcome.settled:
        _write_metrics(job, options.state_dir)
        if job.notify:
            notify.notify_of(job.name, outcome.results)
    return exit_code(outcome.results)


def _write_metrics(job: config.Job, state_dir: str) -> None:
    """A run does not fail for want of metrics."""
    try:
        known.write_metrics(job, state_dir)
    except (OSError, UntrustedError) as error:
        messages.warn("The metrics were not written: %s." % described(error))


def exit_code(outcomes: tuple[Result, ...]) -> int:
    """OK if all is well, TARGET_ABSENT or USAGE if nothing else is wrong, ERROR otherwise."""
    codes = {_code(result.error) for result in outcomes if result.error}
    return codes.pop() if len(codes) == 1 else ERROR if codes else OK


def _code(error: BlksyncError) -> int:
    if isinstance(error, InvalidRequestError):
        return USAGE
    return TARGET_ABSENT if _only_absent(error) else ERROR


def _only_absent(error: BlksyncError) -> bool:
    if not isinstance(error, RefusedError):
        return False
    return [refusal.code for refusal in error.refusals] == ["target_disk_not_found"]
