# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every command of the README is run, word for word; what it names exists where the collection is installed.

A block of YAML whose first line is a comment with a file name is that file. The repository's address leads to a
repository made of these sources. Only the identifiers of the disks are others.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from tests.support.ansible import ansible_environment
from tests.support.blocks import content, fill
from tests.support.disks import MIB, SECTOR, PartitionedDisk, identifiers
from tests.support.role_host import Host, made_or_skipped
from tests.tooling import collection
from tests.tooling.paths import ANSIBLE_BIN, COLLECTIONS, ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
REPOSITORY = "https://github.com/blksync/backup.git"
INSTALLED = Path(".ansible/collections/ansible_collections/blksync/backup")
"""Where ansible-galaxy installs the collection, below the home directory."""
SIZES = (4 * MIB // SECTOR, 8 * MIB // SECTOR)
SECTIONS = (
    "Description",
    "Installation",
    "Use cases",
    "Requirements",
    "Testing",
    "Support",
    "Release notes",
    "Related information",
    "License",
)
"""The sections that a certified collection has."""


def blocks(language: str, section: str) -> list[str]:
    """Return the code blocks of a language in a section of the README."""
    found, heading, tokens = [], "", MarkdownIt().parse(README)
    for number, token in enumerate(tokens):
        if token.type == "heading_open":
            heading = tokens[number + 1].content
        if token.type == "fence" and token.info == language and heading == section:
            found.append(token.content)
    return found


def commands(block: str) -> str:
    """Return what a person types of a block "console", as a script that ends at the first error."""
    typed = [line.removeprefix("$ ") for line in block.splitlines() if line.startswith("$ ")]
    return "\n".join(["set -e", *typed])


def files(section: str) -> dict[str, str]:
    """Return the files that a section shows, by name."""
    shown = (block.partition("\n") for block in blocks("yaml", section))
    return {first.removeprefix("# "): text for first, _newline, text in shown if first.startswith("# ")}


INSTALLING = blocks("console", "Installation")
WAYS = [block for block in INSTALLING if "ansible-galaxy collection install" in block]
NEWER_ANSIBLE = [block for block in INSTALLING if block not in WAYS]
LISTING, PLAYBOOK, TASK, ROLE = blocks("console", "Use cases")


class Home:
    """The home directory of somebody who follows the README."""

    def __init__(self, path: Path, repository: Path) -> None:
        self.path = path
        settings = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_VALUE_0": REPOSITORY}
        settings["GIT_CONFIG_KEY_0"] = f"url.file://{repository}.insteadOf"
        # No settings of Ansible but its own.
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
        self.environment = {**inherited, **settings, "HOME": str(path), "PATH": f"{ANSIBLE_BIN}:{os.environ['PATH']}"}

    def run(self, script: str) -> str:
        """Run a script here and return its output; AssertionError with the output if it fails."""
        run = subprocess.run(
            ["bash", "-c", script],
            cwd=self.path,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert run.returncode == 0, f"{script}\n{run.stdout}"
        return run.stdout

    def write(self, section: str) -> None:
        """Write the files that a section shows."""
        for name, text in files(section).items():
            (self.path / name).write_text(with_our_disks(text))


def with_our_disks(text: str) -> str:
    """Return the text with identifiers of disks that no other test has."""
    source, target = identifiers()
    return text.replace("11111111", source).replace("22222222", target)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A git repository of these sources, what is not committed yet included."""
    tree = tmp_path_factory.mktemp("repository")
    collection.copy_sources(tree)
    for arguments in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message=All"]):
        names = ["-c", "user.name=Test", "-c", "user.email=test@example.com"]
        subprocess.run(["git", *names, *arguments], cwd=tree, check=True)
    return tree


@pytest.fixture
def home(repository: Path, tmp_path: Path) -> Home:
    """A home directory without the collection."""
    return Home(tmp_path, repository)


@pytest.fixture(scope="module")
def home_with_collection(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home directory after the first way of installing, with the files of the use cases."""
    home = Home(tmp_path_factory.mktemp("home"), repository)
    home.run(commands(WAYS[0]))
    home.write("Use cases")
    return home


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """This machine, with fakes of systemd and udev and all changes thrown away at the end."""
    with made_or_skipped(tmp_path) as made:
        yield made


@pytest.fixture
def disks() -> Iterator[tuple[PartitionedDisk, PartitionedDisk]]:
    """A main disk and an empty backup disk."""
    source, target = identifiers()
    with PartitionedDisk(source, SIZES) as main, PartitionedDisk(target, SIZES) as backup:
        for number in (1, 2):
            fill(main.partition(number))
        yield main, backup


def equal(disks: tuple[PartitionedDisk, PartitionedDisk]) -> bool:
    """Whether both partitions of the backup disk are those of the main disk."""
    main, backup = disks
    return all(content(main.partition(number)) == content(backup.partition(number)) for number in (1, 2))


@pytest.mark.parametrize("way", WAYS)
def test_each_way_of_installing(home: Home, way: str) -> None:
    home.write("Installation")
    home.run(commands(way))
    assert (home.path / INSTALLED / "MANIFEST.json").is_file()
    assert "disk_sync" in home.run("ansible-doc --list blksync.backup")


@pytest.mark.full
@pytest.mark.parametrize("block", NEWER_ANSIBLE)
def test_a_newer_ansible_beside_that_of_the_system(home: Home, block: str) -> None:
    shown = home.run(f"{commands(block)}\nansible --version")
    assert f"executable location = {home.path}/ansible/bin/ansible" in shown


@pytest.mark.needs("root", "loop-devices")
def test_identifiers_are_listed(home_with_collection: Home, disks: tuple[PartitionedDisk, PartitionedDisk]) -> None:
    shown = home_with_collection.run(commands(LISTING))
    listed = json.loads(shown.partition("=>")[2])["disks"]
    assert {disk.identifier for disk in disks} <= {disk["ptuuid"] for disk in listed}


@pytest.mark.needs("root", "loop-devices")
@pytest.mark.parametrize("block", [PLAYBOOK, TASK])
def test_one_command_foretells_and_one_syncs(
    home_with_collection: Home, disks: tuple[PartitionedDisk, PartitionedDisk], block: str
) -> None:
    check, sync = with_our_disks(commands(block)).splitlines()[1:]
    assert "changed=1" in home_with_collection.run(check)
    assert not equal(disks)
    assert "changed=1" in home_with_collection.run(sync)
    assert equal(disks)
    assert "changed=0" in home_with_collection.run(sync)


@pytest.mark.needs("root", "systemd-analyze")
def test_the_role_sets_up_the_job(home_with_collection: Home, host: Host) -> None:
    script = f"export PATH={host.programs}:$PATH\n{commands(ROLE)}"
    assert "failed=0" in home_with_collection.run(script)
    source, target = identifiers()
    job = json.loads(host.read("/etc/blksync/travel.json"))
    assert (job["source"], job["targets"]) == (source, [{"identifier": target}])
    assert host.unit("blksync@travel.timer")["ActiveState"] == "active"
    assert "changed=0" in home_with_collection.run(script)


def test_sections_of_a_certified_collection() -> None:
    headings = re.findall(r"^## (.*)", README, re.MULTILINE)
    assert set(SECTIONS) <= set(headings)


def test_links_lead_to_files_that_are_installed() -> None:
    ansible_environment()  # has the collection installed
    installed = COLLECTIONS / "ansible_collections" / "blksync" / "backup"
    links = re.findall(r"\]\(([^)#]+)", README)
    assert len(links) > 10
    assert [link for link in links if "://" not in link and not (installed / link).exists()] == []


def test_make_is_offered_in_a_clone_only() -> None:
    for section in re.split(r"^## ", README, flags=re.MULTILINE):
        if re.search(r"(`|\$ )make ", section):
            assert "In a clone" in section
    assert {"make demo", "make test"} <= set(re.findall(r"^\$ (make [a-z]+)", README, re.MULTILINE))
