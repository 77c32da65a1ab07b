# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Build the documentation as HTML pages into build/docs, and check every link between them.

    python -m tests.tooling.docs

The pages of modules and roles are made by antsibull-docs from the installed collection, the guides from the Markdown
files. A file that a page links to, such as an example, is copied. A link that leads nowhere fails the build.
"""

from __future__ import annotations

import html
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from docutils.core import publish_parts
from markdown_it import MarkdownIt
from mdit_py_plugins.anchors import anchors_plugin

from tests.tooling.paths import BUILD, ROOT, VENV_BIN

DOCS = BUILD / "docs"
GUIDES = ("*.md", "docs/**/*.md", "roles/*/README.md")
REFERENCE = Path("collections/blksync/backup")
"""Below this directory of the pages lie those that antsibull-docs makes; their links count on it."""

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
body {{ max-width: 60rem; margin: auto; padding: 1rem; font: 1rem/1.5 sans-serif; }}
table {{ border-collapse: collapse; }}
td, th {{ border: 1px solid #bbb; padding: .3rem .6rem; text-align: left; vertical-align: top; }}
pre {{ background: #f4f4f4; padding: .6rem; overflow-x: auto; }}
</style>
</head>
<body>
<nav><a href="{up}README.html">blksync.backup</a> | <a href="{up}docs/README.html">Guides</a> |
<a href="{up}{reference}/index.html">Modules and roles</a></nav>
{body}
</body>
</html>
"""


class Page(HTMLParser):
    """The links of a page and the places in it that a link can name."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """See HTMLParser."""
        for name, value in attrs:
            if name == "href" and tag == "a" and value:
                self.links.append(value)
            elif name in ("id", "name") and value:
                self.anchors.add(value)


def build_guides() -> None:
    """Write a page for each Markdown file, at the same place below DOCS, and copy what it links to."""
    markdown = MarkdownIt("commonmark").enable("table").use(anchors_plugin, max_level=4)
    for file in sorted(path for pattern in GUIDES for path in ROOT.glob(pattern)):
        body = str(markdown.render(file.read_text(encoding="utf-8")))
        for link in local_links(body):
            linked = (file.parent / link.partition("#")[0]).resolve()
            if linked.suffix != ".md" and linked.exists() and linked.is_relative_to(ROOT):
                copy(linked)
        place = file.relative_to(ROOT)
        write_page(place.with_suffix(".html"), str(place), relinked(body, ".md"))


def build_reference() -> None:
    """Write the pages of modules and roles. Raises CalledProcessError if antsibull-docs finds a fault."""
    with tempfile.TemporaryDirectory(dir=BUILD, prefix="docs-") as scratch:
        options = ["--use-current", "--output-format=simplified-rst", "--fail-on-error", f"--dest-dir={scratch}"]
        command = [str(VENV_BIN / "antsibull-docs"), "collection", *options, "blksync.backup"]
        subprocess.run(command, check=True)
        for file in sorted(Path(scratch, REFERENCE).glob("*.rst")):
            settings = {"report_level": 2, "halt_level": 2}  # a warning is an error
            source = file.read_text(encoding="utf-8")
            body = publish_parts(source, str(file), writer="html5", settings_overrides=settings)["html_body"]
            write_page((REFERENCE / file.name).with_suffix(".html"), file.stem, relinked(body, ".rst"))


def write_page(place: Path, title: str, body: str) -> None:
    """Write one page; ``place`` is relative to DOCS."""
    path = DOCS / place
    path.parent.mkdir(parents=True, exist_ok=True)
    up = "../" * (len(place.parts) - 1)
    page = PAGE.format(title=html.escape(title), up=up, reference=REFERENCE, body=body)
    path.write_text(page, encoding="utf-8")


def copy(path: Path) -> None:
    """Copy a file or directory of the sources to the same place below DOCS."""
    place = DOCS / path.relative_to(ROOT)
    place.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        shutil.copytree(path, place, dirs_exist_ok=True)
    else:
        shutil.copy(path, place)


def local_links(text: str) -> list[str]:
    """The links of a page that lead to no other host."""
    return [link for link in Page(text).links if not urlsplit(link).scheme and not urlsplit(link).netloc]


def relinked(text: str, suffix: str) -> str:
    """The page with each local link to a source file leading to its page."""
    for link in sorted(set(local_links(text))):
        path, hash_mark, anchor = link.partition("#")
        if path.endswith(suffix):
            new = path.removesuffix(suffix) + ".html" + hash_mark + anchor
            text = text.replace(f'href="{html.escape(link)}"', f'href="{html.escape(new)}"')
    return text


def broken_links() -> Iterator[str]:
    """Say of each local link that leads nowhere on which page it is."""
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in sorted(DOCS.rglob("*.html"))}
    for page, content in pages.items():
        for link in content.links:
            url = urlsplit(link)
            if url.scheme or url.netloc:
                continue
            target = (page.parent / unquote(url.path)).resolve() if url.path else page
            anchors = pages[target].anchors if target in pages else ()
            if not target.exists() or (url.fragment and url.fragment not in anchors):
                yield f"{page.relative_to(DOCS)}: {link} leads nowhere"


def main() -> int:
    """Build, check, return the exit status."""
    shutil.rmtree(DOCS, ignore_errors=True)
    build_guides()
    build_reference()
    broken = list(broken_links())
    print("\n".join([*broken, f"{DOCS / 'README.html'}: {len(list(DOCS.rglob('*.html')))} pages"]))
    return bool(broken)


if __name__ == "__main__":
    sys.exit(main())
