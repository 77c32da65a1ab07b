# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The exception of this package, which does not leave it."""

from __future__ import annotations

from ..errors import Reason


class UnknownLayoutError(Exception):
    """What lies where on a partition, or which blocks of it are free, is not known; ``reason`` says why."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.reason = Reason(code, message)
