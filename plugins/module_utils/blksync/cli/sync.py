# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The ``blksync sync`` command: syncs by job or by options."""

from __future__ import annotations

import argparse

from ..discovery.observe import observe
from ..errors import BlksyncError, InvalidRequestError, RefusedError
from ..jobs import config, publish, targets
from ..jobs import run as job_run
from ..jobs.run import Result
from ..options import SyncRequest
from ..options.kinds import options_of
from . import messages, results
from .arguments import ERROR, OK, TARGET_ABSENT, USAGE, flag
from .progress_bar import watch


def run(options: argparse.Namespace) -> int:
    """Sync by job or by options."""
    known = options_of(SyncRequest)
    given = {name: getattr(options, name) for name in known if getattr(options, name) is not None}
    if options.job:
        if given:
            flags = " and ".join(flag(name, known[name]) for name in given)
            raise InvalidRequestError(
                "%s %s not go with a job." % (flags, "does" if len(given) == 1 else "do"),
                "Change the job's file, or leave JOB out and name --source and --target.",
            )
        return _run_job(config.load(options.job, options.config_dir), options)
    if "source" not in given or "target" not in given:
        raise InvalidRequestError("Name a job, or both --source and --target.", "blksync sync --help shows examples.")
    return _run_once(SyncRequest.of(given, options.check), options)


def _run_once(request: SyncRequest, options: argparse.Namespace) -> int:
    with watch() as progress:
        result = job_run.sync_once(str(request.target), request, progress)
    results.show((result,), request.check, options.json)
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
            outcome = job_run.compare(job, found.present, progress)
        else:
            outcome = job_run.carry_out(job, found.present, options.state_dir, progress)
    results.show(outcome.results, options.check, options.json, job)
    if outcome.unrecorded:
        messages.warn("the history is incomplete: %s" % outcome.unrecorded)
    if not options.check and outcome.settled:
        for problem in publish.publish(job, outcome.results, options.state_dir):
            messages.warn(problem)
    return exit_code(outcome.results)


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
