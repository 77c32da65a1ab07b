# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fake systemctl: logs its calls, and keeps just enough state to answer as systemd 252 would.

python -m tests.support.fake_systemctl STATE ARGUMENT...

Like systemd, it has units in memory as they were when they were loaded: at start, or at the last daemon-reload. A
timer keeps its service loaded. A unit that is not loaded is answered for from its files. Enabling and disabling
reload, as they do with systemd. Nothing is executed. ``systemd.json`` in the state directory is its memory.
"""

from __future__ import annotations

import fnmatch
import json
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from .fake_calls import take_note

UNIT_DIRS = tuple(map(Path, ("/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system")))
DIRS = (*UNIT_DIRS, Path("/usr/lib/systemd/system"))
ACTIVE = "active"
FAILED = "failed"
INACTIVE = "inactive"


@dataclass(frozen=True)
class UnitFiles:
    """A unit's files: paths, and for each its time of modification (ns) and text; no fragment if it has no file."""

    fragment: str = ""
    drop_ins: list[str] = field(default_factory=list)
    files: dict[str, tuple[int, str]] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The content of all files, in the order in which systemd reads them."""
        return "".join(self.files[path][1] for path in [self.fragment, *self.drop_ins] if path)

    def values(self, key: str) -> list[str]:
        """The words behind "key=" in all lines of that key."""
        return " ".join(re.findall(rf"^{key}=(.*)$", self.text, re.MULTILINE)).split()


def on_disk(unit: str) -> UnitFiles:
    """A unit's files as they are now."""
    names = [unit, re.sub("@[^@]*[.]", "@.", unit)] if "@" in unit else [unit]
    fragments = [folder / name for name in names for folder in DIRS if (folder / name).exists()]
    found: dict[str, Path] = {}
    for name in names:
        for folder in DIRS:
            for path in (folder / f"{name}.d").glob("*.conf"):
                found.setdefault(path.name, path)
    drop_ins = [found[name] for name in sorted(found)]
    files = {str(path): (path.stat().st_mtime_ns, path.read_text()) for path in [*fragments[:1], *drop_ins]}
    return UnitFiles(str(fragments[0]) if fragments else "", list(map(str, drop_ins)), files)


def links(unit: str) -> list[Path]:
    """The links that enable a unit."""
    return [
        path for folder in UNIT_DIRS[:2] for kind in ("wants", "requires") for path in folder.glob(f"*.{kind}/{unit}")
    ]


def file_state(unit: str) -> str:
    """What is-enabled prints; empty if the unit has no file."""
    files = on_disk(unit)
    if not files.fragment:
        return ""
    if links(unit):
        return "enabled"
    return "disabled" if "[Install]" in files.text else "static"


class FakeSystemd:
    """The manager: which units it has in memory, and their states."""

    def __init__(self, state: Path) -> None:
        self._file = state / "systemd.json"
        memory = json.loads(self._file.read_text()) if self._file.exists() else {"loaded": {}, "states": {}}
        self.states: dict[str, str] = memory["states"]
        self.loaded = {unit: UnitFiles(**files) for unit, files in memory["loaded"].items()}

    def _save(self) -> None:
        for unit in list(self.loaded):
            if unit not in self._kept():
                del self.loaded[unit]
        loaded = {unit: asdict(files) for unit, files in self.loaded.items()}
        self._file.write_text(json.dumps({"loaded": loaded, "states": self.states}))

    def _kept(self) -> set[str]:
        return {*self.states, *(re.sub("timer$", "service", unit) for unit in self.states)}

    def set_state(self, unit: str, state: str) -> None:
        """Set a unit's ActiveState; a unit that is not inactive is loaded, and the service of a timer with it."""
        if state == INACTIVE:
            self.states.pop(unit, None)
        else:
            self.states[unit] = state
        for kept in self._kept() - self.loaded.keys():
            self.loaded[kept] = on_disk(kept)
        self._save()

    def reload(self) -> None:
        """Read the files of all loaded units."""
        self.loaded = {unit: on_disk(unit) for unit in self.loaded}
        self._save()

    def start(self, unit: str) -> None:
        """Start a unit; a service of type oneshot has ended at once. SystemExit(5) if there is no such unit."""
        files = self.loaded.get(unit) or on_disk(unit)
        if not files.fragment:
            print(f"Failed to start {unit}: Unit {unit} not found.", file=sys.stderr)
            sys.exit(5)
        self.set_state(unit, INACTIVE if "oneshot" in files.values("Type") else ACTIVE)

    def stop(self, unit: str) -> None:
        """Stop a unit. SystemExit(5) if there is no such unit."""
        if unit not in self.loaded and not on_disk(unit).fragment:
            print(f"Failed to stop {unit}: Unit {unit} not loaded.", file=sys.stderr)
            sys.exit(5)
        self.set_state(unit, INACTIVE)

    def enable(self, unit: str) -> None:
        """Make the links of the section [Install]."""
        files = on_disk(unit)
        if not files.fragment:
            sys.exit(f"Failed to enable unit: Unit file {unit} does not exist.")
        for key, kind in (("WantedBy", "wants"), ("RequiredBy", "requires")):
            for target in files.values(key):
                link = UNIT_DIRS[0] / f"{target}.{kind}" / unit
                link.parent.mkdir(exist_ok=True)
                if not link.is_symlink():
                    link.symlink_to(files.fragment)
        self.reload()

    def disable(self, unit: str) -> None:
        """Remove the links that enable the unit."""
        if not on_disk(unit).fragment and not links(unit):
            sys.exit(f"Failed to disable unit: Unit file {unit} does not exist.")
        for link in links(unit):
            link.unlink()
            if not any(link.parent.iterdir()):
                link.parent.rmdir()
        self.reload()

    def show(self, unit: str) -> dict[str, str]:
        """The properties of a unit that the fake knows."""
        now = on_disk(unit)
        files = self.loaded.get(unit, now)
        return {
            "Id": unit,
            "Names": unit,
            "LoadState": "loaded" if files.fragment else "not-found",
            "ActiveState": self.states.get(unit, INACTIVE),
            "SubState": {ACTIVE: "waiting" if unit.endswith(".timer") else "running", FAILED: FAILED}.get(
                self.states.get(unit, ""), "dead"
            ),
            "FragmentPath": files.fragment,
            "DropInPaths": " ".join(files.drop_ins),
            "UnitFileState": file_state(unit),
            "NeedDaemonReload": "yes" if _times(files) != _times(now) else "no",
        }

    def matching(self, patterns: list[str]) -> list[str]:
        """The loaded units that match one of the patterns; all without any."""
        return [
            unit for unit in sorted(self.loaded) if any(fnmatch.fnmatch(unit, pattern) for pattern in patterns or "*")
        ]


def _times(files: UnitFiles) -> dict[str, int]:
    return {path: time for path, (time, _text) in files.files.items()}


def _unit(name: str) -> str:
    return name if re.search(r"[.](service|timer|target|socket|path|mount|slice|scope)$", name) else f"{name}.service"


def _is_pattern(name: str) -> bool:
    return any(letter in name for letter in "*?[")


@dataclass
class Call:
    """A command line: the verb, names of units as written, options without a value, properties to show."""

    verb: str
    names: list[str]
    options: list[str]
    wanted: list[str]

    @property
    def units(self) -> list[str]:
        """The names with their suffix."""
        return [_unit(name) for name in self.names]


def parse(arguments: Sequence[str]) -> Call:
    """Sort the words of a command line."""
    words: list[str] = []
    call = Call("", [], [], [])
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        if word in ("-p", "--property"):
            call.wanted += rest.pop(0).split(",")
        elif word.startswith("--property="):
            call.wanted += word.partition("=")[2].split(",")
        else:
            (call.options if word.startswith("-") else words).append(word)
    call.verb = "--version" if "--version" in call.options else (words or ["list-units"])[0]
    call.names = words[1:]
    return call


def _for_each(*acts: Callable[[FakeSystemd, str], None]) -> Callable[[FakeSystemd, Call], None]:
    """A verb with one act for each unit, and another one if --now is given."""

    def run(systemd: FakeSystemd, call: Call) -> None:
        for unit in call.units:
            for act in acts if "--now" in call.options else acts[:1]:
                act(systemd, unit)

    return run


def _try_restart(systemd: FakeSystemd, unit: str) -> None:
    if systemd.states.get(unit) == ACTIVE:
        systemd.start(unit)


def _show(systemd: FakeSystemd, call: Call) -> None:
    units = [unit for name in call.names for unit in (systemd.matching([name]) if _is_pattern(name) else [_unit(name)])]
    answers = []
    for unit in units:
        shown = {key: value for key, value in systemd.show(unit).items() if not call.wanted or key in call.wanted}
        lines = [value if "--value" in call.options else f"{key}={value}" for key, value in shown.items()]
        answers.append("".join(f"{line}\n" for line in lines))
    sys.stdout.write("\n".join(answers))


def _list_unit_files(_systemd: FakeSystemd, call: Call) -> None:
    names = {path.name for folder in DIRS for path in folder.glob("*.*") if path.is_file() and not path.is_symlink()}
    found = [name for name in sorted(names) if any(fnmatch.fnmatch(name, pattern) for pattern in call.names or "*")]
    for name in found:
        print(name, file_state(name), "enabled")
    sys.exit(0 if found else 1)


def _list_units(systemd: FakeSystemd, call: Call) -> None:
    for unit in systemd.matching(call.names):
        shown = systemd.show(unit)
        print(unit, shown["LoadState"], shown["ActiveState"], shown["SubState"], unit)


def _is_active(systemd: FakeSystemd, call: Call) -> None:
    states = [systemd.states.get(unit, INACTIVE) for unit in call.units]
    print("\n".join(states))
    sys.exit(0 if ACTIVE in states else 3)


def _is_enabled(_systemd: FakeSystemd, call: Call) -> None:
    states = {unit: file_state(unit) for unit in call.units}
    for unit, state in states.items():
        if state:
            print(state)
        else:
            print(f"Failed to get unit file state for {unit}: No such file or directory", file=sys.stderr)
    sys.exit(0 if {"enabled", "static"} & set(states.values()) else 1)


def _reset_failed(systemd: FakeSystemd, call: Call) -> None:
    units = [name if _is_pattern(name) else _unit(name) for name in call.names]
    for unit in units:
        if not _is_pattern(unit) and unit not in systemd.loaded:
            sys.exit(f"Failed to reset failed state of unit {unit}: Unit {unit} not loaded.")
    for unit in systemd.matching(units):
        if systemd.states.get(unit) == FAILED:
            systemd.set_state(unit, INACTIVE)


VERBS: dict[str, Callable[[FakeSystemd, Call], None]] = {
    "--version": lambda _systemd, _call: print("systemd 252 (fake)"),
    "daemon-reload": lambda systemd, _call: systemd.reload(),
    "disable": _for_each(FakeSystemd.disable, FakeSystemd.stop),
    "enable": _for_each(FakeSystemd.enable, FakeSystemd.start),
    "is-active": _is_active,
    "is-enabled": _is_enabled,
    "list-unit-files": _list_unit_files,
    "list-units": _list_units,
    "reset-failed": _reset_failed,
    "restart": _for_each(FakeSystemd.start),
    "show": _show,
    "start": _for_each(FakeSystemd.start),
    "stop": _for_each(FakeSystemd.stop),
    "try-restart": _for_each(_try_restart),
}


def main(state: Path, *arguments: str) -> None:
    """Do what the command line says."""
    take_note(state, ["systemctl", *arguments])
    call = parse(arguments)
    if call.verb not in VERBS:
        sys.exit(f"fake_systemctl does not know {call.verb}")
    VERBS[call.verb](FakeSystemd(state), call)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
