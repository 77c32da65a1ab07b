# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The only bridge between Ansible and the core: a request is made of the parameters, a result goes to exit_json, an
error of the core to fail_json.

Private to this collection: other collections must not import it.
"""

from __future__ import annotations

from typing import Any, Callable, Type, TypeVar

from ansible.module_utils.basic import AnsibleModule

from .blksync.errors import BlksyncError, InvalidRequestError, RefusedError
from .blksync.options import Request
from .blksync.options.kinds import Option, options_of
from .blksync.system.privilege import require_root
from .blksync.text import cleaned, printable

AnyRequest = TypeVar("AnyRequest", bound=Request)


def argument_spec(table: type) -> dict[str, dict[str, Any]]:
    """The options of a request, as AnsibleModule takes them."""
    return {name: _specified(option) for name, option in options_of(table).items()}


def request_of(table: Type[AnyRequest], module: AnsibleModule) -> AnyRequest:
    """What the user asked for. Raises InvalidRequestError."""
    return table.of(module.params, module.check_mode)


def _specified(option: Option) -> dict[str, Any]:
    specified: dict[str, Any] = {"type": option.kind.ansible}
    if option.choices:
        specified["choices"] = list(option.choices)
    if option.required:
        specified["required"] = True
    elif not option.empty:
        specified["default"] = list(option.default) if isinstance(option.default, tuple) else option.default
    return specified


def run_core(
    module: AnsibleModule, operation: Callable[[AnsibleModule], dict[str, Any]], needs_root: bool = True
) -> None:
    """End the module with the result of ``operation(module)``, its ``warnings`` given to Ansible as such.

    A BlksyncError fails it with ``msg``, ``kind``, ``hint``, for a refusal ``refusals``, for options that make no sense
    ``problems``, and with how far it came; what had been noticed by then is a warning, too.
    All text is made printable here: Ansible cannot parse a result with bytes that are no UTF-8, and would report a
    finished copy as failed.
    """
    try:
        if needs_root:
            require_root("This module", "Set become: true for the task.")
        result = operation(module)
    except BlksyncError as error:
        failure = dict(error.report.as_dict() if error.report else {}, kind=error.kind, hint=error.hint)
        for warning in error.report.warnings if error.report else ():
            module.warn(printable(warning))
        if isinstance(error, RefusedError):
            failure["refusals"] = [refusal.as_dict() for refusal in error.refusals]
        if isinstance(error, InvalidRequestError):
            failure["problems"] = error.problems
        module.fail_json(msg=str(error), **cleaned(failure))
    for warning in result.pop("warnings", ()):
        module.warn(printable(warning))
    module.exit_json(**cleaned(result))
