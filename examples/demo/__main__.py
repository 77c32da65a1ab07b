# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sync a backup disk again and again, and check that what the playbook says is true.

Two loop devices of different size stand for the main disk and the backup disk. The last run copies the main disk
while it is mounted and written to. Everything made here is removed again, also after Ctrl-C.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator

from tests.support import own_mounts
from tests.support.disks import MIB, SECTOR, PartitionedDisk, missing_for_loop_devices, run

ROOT = Path(__file__).resolve().parents[2]
COLLECTIONS = ROOT / "build" / "collections"
PARTITION_SECTORS = (40 * MIB // SECTOR, 256 * MIB // SECTOR)  # an ESP and a system partition


@dataclass(frozen=True)
class Step:
    """What one run of the playbook said: ``changed`` tasks in the recap, bytes in the closing message."""

    title: str
    changed: int
    bytes_written: int
    seconds: float


def main() -> int:
    """Run the demo; returns the exit code."""
    missing = missing_for_loop_devices()
    if missing:
        print("The demo cannot run here: %s." % missing, file=sys.stderr)
        return 1
    own_mounts.take()  # the records of the disposable disks go with them
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything is cleaned up then, too
    try:
        with ExitStack() as cleanup:
            return show(cleanup)
    except KeyboardInterrupt:
        print("\nInterrupted; the disposable disks are gone.", file=sys.stderr)
        return 130


def show(cleanup: ExitStack) -> int:
    """Make the disks, run the playbook, change files in between, and compare what it said with what is true."""
    main_disk = cleanup.enter_context(PartitionedDisk("11111111", PARTITION_SECTORS))
    backup_disk = cleanup.enter_context(PartitionedDisk("22222222", PARTITION_SECTORS, gap=8192, spare=65536))
    print("Main disk %s (11111111), backup disk %s (22222222)" % (main_disk.path, backup_disk.path))
    esp, system = main_disk.partition(1), main_disk.partition(2)
    make_esp(esp)
    make_system(system)

    first = play("first run")
    second = play("second run, nothing changed")
    with mounted(system) as directory:
        for number in range(3):
            (directory / ("changed-%d" % number)).write_bytes(os.urandom(MIB))
    predicted = play("after a few files changed: --check --diff", "--check", "--diff")
    third = play("third run, for real")
    equal = all(same_bytes(main_disk.partition(number), backup_disk.partition(number)) for number in (1, 2))
    with mounted(system) as directory, writer(directory):
        live = play("fourth run, main disk mounted and written to")
    broken = fsck(backup_disk.partition(2))

    print_table([first, second, predicted, third, live])
    return conclude(
        {
            "the first run was not changed": not first.changed,
            "the second run was changed": bool(second.changed or second.bytes_written),
            "the third run was not changed by about 3 MiB": not 3 * MIB <= third.bytes_written <= 6 * MIB,
            "the prediction was not exact": predicted.bytes_written != third.bytes_written,
            "the disks were not equal after the third run": not equal,
            "the copy of the mounted disk was not changed": not live.changed,
            "the copy of the mounted disk has a damaged file system: %s" % broken: bool(broken),
        }
    )


def print_table(steps: list[Step]) -> None:
    """One line for each run."""
    print("\n%-48s %8s %15s %8s" % ("run", "changed", "bytes written", "seconds"))
    for step in steps:
        print("%-48s %8s %15d %8.1f" % (step.title, "yes" if step.changed else "no", step.bytes_written, step.seconds))


def conclude(failures: dict[str, bool]) -> int:
    """Say whether everything was as it should be; returns the exit code."""
    wrong = [reason for reason, failed in failures.items() if failed]
    print("The demo failed: %s." % "; ".join(wrong) if wrong else "All five runs did what they said.")
    return 1 if wrong else 0


def make_esp(partition: str) -> None:
    """A FAT file system with a boot loader's files, filled without mounting it."""
    run("mkfs.vfat", "-F", "32", "-n", "ESP", partition)
    with tempfile.TemporaryDirectory() as directory:
        boot = Path(directory) / "EFI" / "BOOT"
        boot.mkdir(parents=True)
        (boot / "BOOTX64.EFI").write_bytes(os.urandom(2 * MIB))
        run("mcopy", "-s", "-i", partition, str(Path(directory) / "EFI"), "::/")


def make_system(partition: str) -> None:
    """An ext4 file system with files."""
    run("mkfs.ext4", "-q", "-L", "system", partition)
    with mounted(partition) as directory:
        for number in range(20):
            (directory / ("file-%d" % number)).write_bytes(os.urandom(MIB))


@contextmanager
def mounted(partition: str) -> Iterator[Path]:
    """The partition's file system, mounted read-write for a while."""
    with tempfile.TemporaryDirectory(prefix="blksync-demo-") as directory:
        run("mount", partition, directory)
        try:
            yield Path(directory)
        finally:
            run("umount", directory)


@contextmanager
def writer(directory: Path) -> Iterator[None]:
    """Something that writes into the directory all the time, as a running system does."""
    script = "i=0; while :; do i=$((i + 1)); head -c 65536 /dev/urandom > load-$((i % 50)); done"
    with subprocess.Popen(["sh", "-c", script], cwd=directory) as process:
        try:
            yield
        finally:
            process.kill()


def fsck(partition: str) -> str:
    """What e2fsck finds wrong, nothing being repaired; empty for a clean file system."""
    found = subprocess.run(["e2fsck", "-f", "-n", partition], capture_output=True, text=True, check=False)
    return found.stdout if found.returncode else ""


def play(title: str, *options: str) -> Step:
    """Run the main playbook, show what it prints, and read off what it said."""
    print("\n=== %s ===" % title, flush=True)
    argv = [str(ROOT / ".venv/bin/ansible-playbook"), "-i", "localhost,", "-c", "local", *options]
    argv += ["-e", "ansible_python_interpreter=%s" % sys.executable, "-e", "blksync_hosts=localhost"]
    argv += ["-e", "blksync_source=11111111", "-e", "blksync_target=22222222"]
    argv += [str(COLLECTIONS / "ansible_collections/blksync/backup/playbooks/sync-backup-disk.yml")]
    environment = dict(os.environ, ANSIBLE_COLLECTIONS_PATH=str(COLLECTIONS), ANSIBLE_NOCOLOR="1")
    started = time.monotonic()
    said = []
    with subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            said.append(line)
    text = "".join(said)
    written = re.search(r"(?:Wrote|Would write) (\d+) bytes", text)
    changed = re.search(r"changed=(\d+)", text)
    if process.returncode or not written or not changed:
        raise SystemExit("The playbook failed with exit code %d." % process.returncode)
    return Step(title, int(changed[1]), int(written[1]), time.monotonic() - started)


def same_bytes(one: str, other: str) -> bool:
    """Whether two partitions are equal on the medium, whatever the page cache says."""
    run("blockdev", "--flushbufs", one, other)
    return subprocess.run(["cmp", "--silent", one, other], check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
