# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The only bridge between Ansible and the core: a result goes to exit_json, an error of the core to fail_json."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Callable

from ansible.module_utils.basic import AnsibleModule

from .blksync.errors import BlksyncError, RefusedError


def run_core(module: AnsibleModule, operation: Callable[[AnsibleModule], dict[str, Any]]) -> None:
    """End the module with the result of ``operation(module)``.

    A BlksyncError fails it with ``msg``, ``kind``, ``hint``, for a refusal ``refusals``, and with how far it came.
    """
    try:
        result = operation(module)
    except BlksyncError as error:
        failure = dict(error.report or {}, kind=error.kind, hint=error.hint)
        if isinstance(error, RefusedError):
            failure["refusals"] = [asdict(refusal) for refusal in error.refusals]
        module.fail_json(msg=str(error), **failure)
    module.exit_json(**result)
