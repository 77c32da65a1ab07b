# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is measured: command lines that copy one device to another, or only read it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from tests.support.blocksync_program import PROGRAM

NOT_INSTALLED = "" if PROGRAM else "not installed"


@dataclass(frozen=True)
class Contender:
    """A way to do the work. ``arguments`` follow the name of the program; SOURCE and TARGET are put in.

    ``engine``: it reports its own seconds, of which some are verification. ``missing`` says why it cannot run.
    """

    name: str
    arguments: Sequence[str]
    engine: bool = False
    missing: str = ""

    def argv(self, source: str, target: str) -> list[str]:
        """The command line for these devices."""
        return [argument.replace("SOURCE", source).replace("TARGET", target) for argument in self.arguments]


def _engine(name: str, missing: str = "") -> Contender:
    worker = (sys.executable, "-m", "tests.benchmark.engine_worker", name, "SOURCE", "TARGET")
    return Contender(f"engine `{name}`", worker, engine=True, missing=missing)


READ = Contender(
    "`dd`, reading one device", ("dd", "if=SOURCE", "of=/dev/null", "bs=4M", "iflag=direct", "status=none")
)
DD_COPY = Contender(
    "`dd`, copying",
    ("dd", "if=SOURCE", "of=TARGET", "bs=4M", "iflag=direct", "oflag=direct", "conv=fsync,notrunc", "status=none"),
)
NATIVE = _engine("native")
WRAPPED = _engine("blocksync_fast", NOT_INSTALLED)
DEFAULTS = Contender(
    "blocksync-fast, its defaults", (PROGRAM, "-s", "SOURCE", "-d", "TARGET", "--silent"), missing=NOT_INSTALLED
)
SCRIPT = Contender(
    "blocksync-fast, as in blksync.sh",
    (
        *(PROGRAM, "-s", "SOURCE", "-d", "TARGET", "--silent"),
        *("--block-size=4M", "--buffer-size=64M", "--sync-writes"),
    ),
    missing=NOT_INSTALLED,
)
COMPARING = (NATIVE, WRAPPED, DEFAULTS, SCRIPT)
