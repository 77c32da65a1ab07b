# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which limit a pass has: none while programs wait for a copy that was to be live."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from blksync.engines.rate_limit import UNLIMITED, RateLimit
from blksync.options import CopyRequest, ImageRequest, SyncRequest
from blksync.sync.context import PairContext

LIMIT = RateLimit(1 << 20)
LIVE = SyncRequest("11111111", "22222222", quiesce="live")
AUTO = SyncRequest("11111111", "22222222")
FREEZE = SyncRequest("11111111", "22222222", quiesce="freeze")
IMAGE = ImageRequest("/a", "/b")


@pytest.mark.parametrize(
    ("request_", "waiting", "limit"),
    [
        (LIVE, True, UNLIMITED),
        (AUTO, True, UNLIMITED),
        (FREEZE, True, LIMIT),
        (IMAGE, True, LIMIT),
        (LIVE, False, LIMIT),
        (AUTO, False, LIMIT),
        (AUTO, None, LIMIT),
    ],
)
def test_full_speed_only_while_programs_wait(request_: CopyRequest, waiting: bool | None, limit: RateLimit) -> None:
    fake: Any = None
    context = PairContext(request_, fake, fake, fake, fake, fake, fake, fake, limit=LIMIT)
    held: Any = None if waiting is None else SimpleNamespace(waiting=waiting)
    assert context.limit_while(held) is limit
    assert context.options(held=held).limit is limit
