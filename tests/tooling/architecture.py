# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Draw docs/architecture.svg: the packages of the core and which of them import which.

    python -m tests.tooling.architecture [--check]

The order of the packages is that of import-linter's contract in pyproject.toml, what each is for comes from the
docstring of the core, and the arrows are the imports that grimp finds. With --check nothing is written: the exit
status is 1 if the committed picture shows other packages or other imports. The numbers of files and lines are drawn
but not checked, because nearly every commit changes them.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import grimp

from tests.tooling.paths import ROOT

PICTURE = ROOT / "docs" / "architecture.svg"
CORE = ROOT / "plugins" / "module_utils" / "blksync"
DOORS = (*sorted((ROOT / "plugins" / "modules").glob("*.py")), CORE.parent / "ansible_adapter.py")
MODULES = "modules"
COMMAND = ".venv/bin/python -m tests.tooling.architecture"

# Pixels.
MARGIN, WIDTH, HEIGHT, GAP, COLUMN = 16, 500, 46, 18, 26

STYLE = """
rect { fill: #f6f8fa; stroke: #8c959f; }
path { fill: none; stroke: #0969da; stroke-width: 1.4; }
circle, .head { fill: #0969da; stroke: none; }
text { font: 13px sans-serif; fill: #59636e; }
.name { font: bold 14px monospace; fill: #1f2328; }
.size { text-anchor: end; }
@media (prefers-color-scheme: dark) {
  rect { fill: #151b23; stroke: #656c76; }
  path { stroke: #4493f8; }
  circle, .head { fill: #4493f8; }
  text { fill: #9198a1; }
  .name { fill: #f0f6fc; }
}
"""


@dataclass(frozen=True)
class Box:
    """One package, or the files of the core's root. ``lines`` are those of all its files, empty ones too."""

    name: str
    purpose: str
    files: int
    lines: int


def packages() -> list[str]:
    """The core's packages as the contract orders them, from the top down."""
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    layers = next(each["layers"] for each in contract["contracts"] if each["type"] == "layers")
    names = [name for layer in layers for name in re.findall(r"\w+", layer)]
    return [name for name in names if (CORE / name).is_dir()]


def purposes() -> dict[str, str]:
    """What each package is for, as the map in the docstring of the core says."""
    text = (CORE / "__init__.py").read_text(encoding="utf-8")
    return {name: purpose.replace("`", "") for name, purpose in re.findall(r"^``(\w+)`` +(\S.*)$", text, re.MULTILINE)}


def box(name: str, purpose: str, files: Sequence[Path]) -> Box:
    """The box of these files."""
    lines = sum(len(file.read_text(encoding="utf-8").splitlines()) for file in files)
    return Box(name, purpose, len(files), lines)


def boxes() -> list[Box]:
    """All boxes from the top down: the Ansible modules, the packages, and last the files that lie in the root."""
    said = purposes()
    found = [box(MODULES, "the Ansible modules, with their adapter", DOORS)]
    found += [box(name, said.get(name, ""), sorted((CORE / name).rglob("*.py"))) for name in packages()]
    root = sorted(CORE.glob("*.py"))
    names = ", ".join(file.stem for file in root if not file.stem.startswith("__"))
    return [*found, box(names, "the root, which each package may import", root)]


def imports() -> dict[str, set[str]]:
    """Which packages each package imports, and the Ansible modules; the root's files are left out."""
    found: dict[str, set[str]] = defaultdict(set)
    known = set(packages())
    sys.path.insert(0, str(CORE.parent))
    graph = grimp.build_graph(CORE.name, cache_dir=None)
    for module in graph.modules:
        for imported in graph.find_modules_directly_imported_by(module):
            ours, theirs = (name.split(".")[1] if "." in name else name for name in (module, imported))
            if ours != theirs and {ours, theirs} <= known:
                found[ours].add(theirs)
    for file in DOORS:
        text = file.read_text(encoding="utf-8")
        found[MODULES] |= known.intersection(re.findall(r"^from \S*\.blksync\.(\w+)", text, re.MULTILINE))
    return dict(found)


def draw(rows: Sequence[Box], arrows: Mapping[str, set[str]]) -> str:
    """The picture as SVG. A line leaves each package to the right and runs down; an arrow leads into each one.

    The line of a lower package is nearer to the boxes, so that nothing crosses a line before it turns down.
    """
    senders = [row.name for row in rows if arrows.get(row.name)]
    top = {row.name: MARGIN + index * (HEIGHT + GAP) for index, row in enumerate(rows)}
    right = MARGIN + WIDTH
    column = {name: right + COLUMN * (len(senders) - index) for index, name in enumerate(senders)}
    parts = [part for row in rows for part in draw_box(row, top[row.name])]
    for name in senders:
        x, leaves = column[name], top[name] + HEIGHT // 4
        enters = {imported: top[imported] + HEIGHT * 3 // 4 for imported in sorted(arrows[name], key=top.__getitem__)}
        parts.append(f'<path d="M{right} {leaves}H{x}V{max(enters.values())}"/>')
        for imported, y in enters.items():
            title = f"<title>{escape(name)} imports {escape(imported)}</title>"
            parts.append(f'<circle cx="{x}" cy="{y}" r="4">{title}</circle>')
    for name in sorted({imported for each in arrows.values() for imported in each}, key=top.__getitem__):
        y, x = top[name] + HEIGHT * 3 // 4, max(column[sender] for sender in senders if name in arrows[sender])
        parts.append(f'<path d="M{x} {y}H{right + 8}"/>')
        parts.append(f'<path class="head" d="M{right} {y}l9 -4v8z"/>')
    width, height = max(column.values()) + MARGIN, MARGIN + len(rows) * (HEIGHT + GAP)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
    made = f"<!-- Made by {COMMAND}; do not edit. -->"
    title = "<title>The packages of the core: each imports only from those below it</title>"
    return "\n".join([head, made, title, f"<style>{STYLE}</style>", *parts, "</svg>", ""])


def draw_box(row: Box, top: int) -> list[str]:
    """One box with its name, what it is for, and how large it is."""
    size = f"{row.files} files, {row.lines} lines"
    return [
        f'<rect x="{MARGIN}" y="{top}" width="{WIDTH}" height="{HEIGHT}" rx="5"/>',
        f'<text class="name" x="{MARGIN + 10}" y="{top + 19}">{escape(row.name)}</text>',
        f'<text class="size" x="{MARGIN + WIDTH - 10}" y="{top + 19}">{size}</text>',
        f'<text x="{MARGIN + 10}" y="{top + 37}">{escape(row.purpose)}</text>',
    ]


def comparable(picture: str) -> str:
    """The picture without the sizes of the packages."""
    return re.sub(r'(<text class="size"[^>]*>).*?<', r"\1<", picture)


def main(check: str = "") -> int:
    """Draw, or compare with what is committed; return the exit status."""
    picture = draw(boxes(), imports())
    if not check:
        PICTURE.write_text(picture, encoding="utf-8")
    elif not PICTURE.exists() or comparable(PICTURE.read_text(encoding="utf-8")) != comparable(picture):
        print(f"{PICTURE.relative_to(ROOT)} shows other packages or imports than the code has. Run: {COMMAND}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
