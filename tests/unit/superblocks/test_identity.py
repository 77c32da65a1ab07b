# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What blkid's answers mean."""

from __future__ import annotations

import pytest

from blksync.superblocks.identity import Identity, parse

EXT4 = "DEVNAME=/proc/self/fd/5\nUUID=0b6e52f4\nLABEL=a=b\nTYPE=ext4\nUSAGE=filesystem\n"


def test_the_tags_that_count() -> None:
    found = parse(0, EXT4)
    assert found == Identity((("TYPE", "ext4"), ("UUID", "0b6e52f4")))
    assert str(found) == "TYPE ext4, UUID 0b6e52f4"
    assert found == parse(0, EXT4.replace("/5", "/6").replace("a=b", "other"))
    assert found != parse(0, EXT4.replace("0b6e", "0b6f"))


def test_ambivalent_and_nothing_are_answers() -> None:
    assert parse(8, "") == Identity((), ambivalent=True)
    assert str(parse(8, "")) == "several kinds of content at the same time"
    assert parse(2, "") == Identity(())
    assert str(parse(2, "")) == "nothing that is known"
    assert parse(8, "") != parse(2, "")


@pytest.mark.parametrize("status", [1, 4, 127, -9])
def test_other_exit_statuses_are_none(status: int) -> None:
    assert parse(status, EXT4) is None
