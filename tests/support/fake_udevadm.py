# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fake udevadm: logs its calls, reads the rules when it is told to, and answers questions from a file.

python -m tests.support.fake_udevadm STATE ARGUMENT...

In the state directory, ``rules.json`` has the rules that were in /etc/udev/rules.d at the last ``control --reload``
(file name to text), ``export-db.txt`` the answer to ``info --export-db``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from .fake_calls import take_note

RULES_DIR = Path("/etc/udev/rules.d")


def rules_in_force(state: Path) -> dict[str, str]:
    """The rules that were there when udev read them last."""
    file = state / "rules.json"
    return dict(json.loads(file.read_text())) if file.exists() else {}


def main(state: Path, *arguments: str) -> None:
    """Do what the command line says."""
    take_note(state, ["udevadm", *arguments])
    words = set(arguments[1:])
    match arguments[:1]:
        case ["control"] if words & {"--reload", "-R", "--reload-rules"}:
            rules = {path.name: path.read_text() for path in RULES_DIR.glob("*.rules")}
            (state / "rules.json").write_text(json.dumps(rules))
        case ["trigger"] | ["settle"]:
            pass
        case ["info"] if words & {"--export-db", "-e"}:
            file = state / "export-db.txt"
            sys.stdout.write(file.read_text() if file.exists() else "")
        case _:
            sys.exit("fake_udevadm does not know %s" % " ".join(arguments))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
