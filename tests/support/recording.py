# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines in a directory: what discovery reads from a system, recorded once and answered from again and again.

python -m tests.support.recording DIR    records this machine; tests/unit/discovery/machines/README.md has the format
"""

from __future__ import annotations

import configparser
import re
import sys
from pathlib import Path

from blksync.discovery.host import System
from blksync.discovery.loops import Backing
from blksync.discovery.observe import observe
from blksync.discovery.probes import BLKID, LSBLK
from blksync.discovery.sysfs import BLOCK

PROC_FILES = {"/proc/self/mountinfo": "mountinfo", "/proc/swaps": "swaps"}
PROGRAMS = {LSBLK[0]: "lsblk.json", BLKID[0]: "blkid.txt"}
BOOT_CODE = 440
"""Bytes at the start of a disk that hold a program, which nobody needs in a recording."""


class RecordedSystem(System):
    """Answers from a directory; what is not in there does not exist, as on a machine."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.sysfs = _parser()
        self.sysfs.read_string(self._file("sysfs.ini"))
        self.devices = dict(line.rsplit(" ", 1) for line in self._file("links.txt").splitlines())

    def text(self, path: str) -> str | None:
        if path in PROC_FILES:
            file = self.directory / PROC_FILES[path]
            return file.read_text(encoding="utf-8").rstrip("\n") if file.exists() else None
        section, key = _place(path)
        value = self.sysfs.get(section, key, fallback=None)
        return None if value is None else _unescape(value)

    def names(self, directory: str) -> list[str]:
        section, key = _place(directory)
        listed = self.sysfs.get(section, key + "/", fallback=None)
        if listed is not None:
            return listed.split()
        below = (name[len(directory) + 1 :] for name in self.sysfs.sections() if name.startswith(directory + "/"))
        return sorted({name.split("/")[0] for name in below})

    def realpath(self, path: str) -> str:
        return self.sysfs.get(path, "@", fallback=path)

    def device_number(self, path: str) -> str | None:
        return self.devices.get(path) or self.text("%s/%s/dev" % (BLOCK, path.rsplit("/", 1)[-1]))

    def backing(self, path: str, devno: str) -> Backing | None:
        for line in self._file("loops.txt").splitlines():
            where, device, inode, *over = line.split()
            if where == path:
                return Backing(int(device), int(inode), *over)
        return None

    def identity(self, path: str) -> tuple[int, int] | None:
        return None

    def links(self) -> dict[str, str]:
        return dict(self.devices)

    def run(self, *argv: str) -> str | None:
        return self._file(PROGRAMS[argv[0]]) or None

    def read(self, path: str, devno: str, offset: int, length: int) -> bytes | None:
        for line in self._file("sectors.txt").splitlines():
            where, at, size, *runs = line.split()
            if (where, int(at), int(size)) == (path, offset, length):
                content = bytearray(length)
                for run in runs:
                    start, _colon, digits = run.partition(":")
                    content[int(start) : int(start) + len(digits) // 2] = bytes.fromhex(digits)
                return bytes(content)
        return None

    def _file(self, name: str) -> str:
        file = self.directory / name
        return file.read_text(encoding="utf-8") if file.exists() else ""


class Recorder(System):
    """The running machine; everything that is asked of it is written down."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.sysfs = _parser()
        directory.mkdir(parents=True)

    def text(self, path: str) -> str | None:
        value = super().text(path)
        if path in PROC_FILES and value is not None:
            (self.directory / PROC_FILES[path]).write_text(value + "\n", encoding="utf-8")
        elif value is not None:
            self._note(path, _escape(value))
        return value

    def names(self, directory: str) -> list[str]:
        found = super().names(directory)
        if found and directory.startswith("/sys/") and directory != BLOCK:
            self._note(directory + "/", " ".join(found))
        return found

    def realpath(self, path: str) -> str:
        real = super().realpath(path)
        self._note(path + "/@", real)
        return real

    def backing(self, path: str, devno: str) -> Backing | None:
        backing = super().backing(path, devno)
        if backing:
            with open(self.directory / "loops.txt", "a", encoding="utf-8") as file:
                print(path, backing.device, backing.inode, backing.devno, file=file)
        return backing

    def links(self) -> dict[str, str]:
        found = super().links()
        (self.directory / "links.txt").write_text("".join("%s %s\n" % pair for pair in found.items()), encoding="utf-8")
        return found

    def run(self, *argv: str) -> str | None:
        output = super().run(*argv)
        if output is not None:
            with open(self.directory / PROGRAMS[argv[0]], "a", encoding="utf-8") as file:
                file.write(output + "\n")  # blkid is run for each partition
        return output

    def read(self, path: str, devno: str, offset: int, length: int) -> bytes | None:
        content = super().read(path, devno, offset, length)
        if content is not None:
            kept = content if offset else bytes(BOOT_CODE) + content[BOOT_CODE:]
            runs = ("%d:%s" % (match.start(), match.group().hex()) for match in re.finditer(rb"[^\0]+", kept))
            with open(self.directory / "sectors.txt", "a", encoding="utf-8") as file:
                print(path, offset, length, *runs, file=file)
        return content

    def save(self) -> None:
        """Write what was read from sysfs."""
        with open(self.directory / "sysfs.ini", "w", encoding="utf-8") as file:
            self.sysfs.write(file)

    def _note(self, path: str, value: str) -> None:
        section, key = _place(path)
        if not self.sysfs.has_section(section):
            self.sysfs.add_section(section)
        self.sysfs.set(section, key, value)


def record(directory: Path) -> None:
    """Record this machine into a new directory."""
    recorder = Recorder(directory)
    observe(recorder)
    recorder.save()


def _parser() -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(delimiters=("=",), comment_prefixes=("#",))
    parser.optionxform = str  # type: ignore[assignment, method-assign]  # as the module's documentation does
    return parser


def _place(path: str) -> tuple[str, str]:
    """Section and key of a path: a block device's directory and what is below it, else the directory and the name."""
    parts = path.split("/")
    depth = 5 if path.startswith(BLOCK + "/") else len(parts) - (2 if path.endswith("/") else 1)
    return "/".join(parts[:depth]), "/".join(parts[depth:])


def _escape(value: str) -> str:
    return value.encode("unicode_escape").decode("ascii")


def _unescape(value: str) -> str:
    return value.encode("utf-8").decode("unicode_escape") if "\\" in value else value


if __name__ == "__main__":
    record(Path(sys.argv[1]))
