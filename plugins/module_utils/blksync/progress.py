# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Who watches a sync while it runs. This one watches in silence, which is what an Ansible module wants."""

from __future__ import annotations

from .plan import Pair


class Progress:
    """Told about every step of a sync. All numbers are bytes. Nothing here may block: the source may be frozen."""

    def pair_started(self, pair: Pair, engine: str) -> None:
        """The copy (or in check mode the comparison) of ``pair`` begins."""

    def advanced(self, pair: Pair, compared: int, changed: int) -> None:
        """``compared`` bytes of the pair are done, ``changed`` of them differed."""

    def verifying(self, pair: Pair, read: int) -> None:
        """``read`` bytes of the target have been read back to prove what was written."""

    def pair_finished(self, pair: Pair, blocks_changed: int, written: int) -> None:
        """The pair is equal and proved; ``written`` bytes went (in check mode: would go) to the target."""
