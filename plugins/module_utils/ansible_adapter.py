# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The only bridge between Ansible and the core: a result goes to exit_json, an error of the core to fail_json."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Callable

from ansible.module_utils.basic import AnsibleModule

from .blksync.errors import BlksyncError, RefusedError
from .blksync.text import cleaned, printable

# Every module that copies has these (see doc_fragments/comparison.py); the core's requests have them by the same names.
COMPARISON = {
    "engine": {"type": "str", "choices": ["auto", "native", "blocksync_fast"], "default": "auto"},
    "verify": {"type": "str", "choices": ["auto", "full"], "default": "auto"},
    "allow_damaged_source": {"type": "bool", "default": False},
    "block_size": {
        "type": "int",
        "choices": [4096, 8192, 16384, 32768, 65536, 131072, 262144, 524288, 1048576],
        "default": 4096,
    },
    "compare": {"type": "bool", "default": True},
}

# Every module that keeps digests has these (see doc_fragments/digests.py).
DIGESTS = {
    "digest_dir": {"type": "path"},
    "digest_max_age": {"type": "int", "default": 2592000},
    "digest_full_every": {"type": "int", "default": 100},
    "algorithm": {
        "type": "str",
        "choices": [
            "auto",
            "XXH128",
            "BLAKE2B_256",
            "BLAKE2B_384",
            "BLAKE2B_512",
            "BLAKE2S_256",
            "SHA256",
            "SHA384",
            "SHA512",
            "SHA3_256",
            "SHA3_384",
            "SHA3_512",
        ],
        "default": "auto",
    },
}

# Every module that reads a source which may be in use has these (see doc_fragments/quiescing.py),
# and disk_sync more values.
QUIESCING = {
    "quiesce": {"type": "str", "choices": ["auto", "freeze", "none"], "default": "auto"},
    "quiesce_timeout": {"type": "int", "default": 3600},
}


def comparison_options(module: AnsibleModule) -> dict[str, Any]:
    """The options of COMPARISON as a request takes them."""
    return {name: module.params[name] for name in COMPARISON}


def run_core(module: AnsibleModule, operation: Callable[[AnsibleModule], dict[str, Any]]) -> None:
    """End the module with the result of ``operation(module)``, its ``warnings`` given to Ansible as such.

    A BlksyncError fails it with ``msg``, ``kind``, ``hint``, for a refusal ``refusals``, and with how far it came.
    All text is made printable here: Ansible cannot parse a result with bytes that are no UTF-8, and would report a
    finished copy as failed.
    """
    try:
        result = operation(module)
    except BlksyncError as error:
        failure = dict(error.report or {}, kind=error.kind, hint=error.hint)
        if isinstance(error, RefusedError):
            failure["refusals"] = [asdict(refusal) for refusal in error.refusals]
        module.fail_json(msg=str(error), **cleaned(failure))
    for warning in result.pop("warnings", ()):
        module.warn(printable(warning))
    module.exit_json(**cleaned(result))
