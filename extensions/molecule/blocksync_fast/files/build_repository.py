# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make in a directory what the scenario installs from: a signed apt repository, package files, programs.

python build_repository.py DIR
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

STANDIN = Path(__file__).with_name("standin-blocksync-fast")
CHECKSUMS = "sha256.json"
PACKAGE = "standin-blocksync-fast"
# version of the package -> what the program calls itself, and whether it has the defect
VERSIONS = {"1.0.7": ("1.07", True), "1.0.8": ("1.08", False)}
SIGNER = "Test Repository <test@example.invalid>"


def write_program(path: Path, version: str) -> None:
    """Write the stand-in of a version."""
    name, defect = VERSIONS[version]
    text = STANDIN.read_text().replace("@SHEBANG@", "#!/usr/bin/env python3")
    path.write_text(text.replace("@VERSION@", name).replace("@MISSES_CHANGED_BLOCKS@", str(defect)))
    path.chmod(0o755)


def build_package(directory: Path, version: str) -> Path:
    """Build a .deb that brings the stand-in as /usr/bin/blocksync-fast."""
    package = directory / f"{PACKAGE}_{version}-1_all.deb"
    with tempfile.TemporaryDirectory() as scratch:
        tree = Path(scratch, "tree")
        (tree / "DEBIAN").mkdir(parents=True)
        (tree / "usr/bin").mkdir(parents=True)
        write_program(tree / "usr/bin/blocksync-fast", version)
        (tree / "DEBIAN/control").write_text(
            f"Package: {PACKAGE}\nVersion: {version}-1\nArchitecture: all\nDepends: python3\n"
            "Maintainer: Nobody <nobody@example.invalid>\nDescription: stand-in for blocksync-fast in tests\n"
        )
        subprocess.run(["dpkg-deb", "--root-owner-group", "-b", str(tree), str(package)], check=True, stdout=2)
    return package


def describe(package: Path) -> str:
    """Return a package's paragraph in the repository's index."""
    control = subprocess.run(["dpkg-deb", "-f", str(package)], check=True, stdout=subprocess.PIPE, text=True).stdout
    content = package.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    return f"{control.strip()}\nFilename: ./{package.name}\nSize: {len(content)}\nSHA256: {digest}\n"


def write_indexes(directory: Path, packages: list[Path]) -> None:
    """Write Packages, Packages.gz and Release of a flat repository."""
    index = "\n".join(describe(package) for package in packages)
    (directory / "Packages").write_text(index)
    (directory / "Packages.gz").write_bytes(gzip.compress(index.encode(), mtime=0))
    lines = []
    for name in ("Packages", "Packages.gz"):
        content = (directory / name).read_bytes()
        lines.append(f" {hashlib.sha256(content).hexdigest()} {len(content)} {name}")
    date = subprocess.run(["date", "-Ru"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    (directory / "Release").write_text(f"Origin: test\nDate: {date}\nSHA256:\n" + "\n".join(lines) + "\n")


def sign(directory: Path) -> None:
    """Sign the repository with a key made for it, and leave the public key beside."""
    with tempfile.TemporaryDirectory() as home:
        gpg = ["gpg", "--homedir", home, "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", ""]
        subprocess.run([*gpg, "--quick-generate-key", SIGNER, "ed25519", "sign", "1d"], check=True)
        release, signed = str(directory / "Release"), str(directory / "InRelease")
        subprocess.run([*gpg, "--yes", "--clearsign", "--output", signed, release], check=True)
        with (directory / "key.asc").open("wb") as key:
            subprocess.run([*gpg, "--armor", "--export"], check=True, stdout=key)
        subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=True)


def main(directory: Path) -> None:
    """Make everything, its checksums as JSON, and an archive of it all beside the directory."""
    directory.mkdir(parents=True, exist_ok=True)
    packages = [build_package(directory, version) for version in VERSIONS]
    for version in VERSIONS:
        write_program(directory / f"{PACKAGE}-{version}", version)
    (directory / "other-architecture").write_bytes(b"\x7fELF" + os.urandom(64))
    write_indexes(directory, packages)
    sign(directory)
    files = sorted(path for path in directory.iterdir() if path.name != CHECKSUMS)
    (directory / CHECKSUMS).write_text(
        json.dumps({path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files})
    )
    with tarfile.open(directory.with_suffix(".tar"), "w") as archive:
        archive.add(directory, ".")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
