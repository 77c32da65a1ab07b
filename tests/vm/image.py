# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The system that the machines run: a Debian tree, and the two partition images made from it.

No mount, no loop device and no device-mapper on the host: mmdebstrap makes the tree, `mke2fs -d` the file system,
`cryptsetup reencrypt` turns it into LUKS2 in place, mtools and syslinux fill the EFI system partition.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .cache import cached, content_key, source_key
from .host import CommandError, run

Unlock = Literal["none", "keyfile", "passphrase"]

MIB = 1 << 20
ESP_MIB = 64
ROOT_MIB = 768
LUKS_OVERHEAD_MIB = 32  # 16 for the two headers, 16 that the in-place encryption shifts the data by

ESP_SERIAL = "B007E5B0"
LUKS_UUID = "1b9c2a50-0000-4000-8000-00000000c0de"
ROOT_UUID = "5f7a1b2c-0000-4000-8000-00000000beef"
PASSPHRASE = "correct horse"

PACKAGES = (
    "linux-image-amd64 initramfs-tools zstd kmod systemd-sysv udev dbus libpam-systemd systemd-boot-efi "
    "openssh-server python3 sudo cryptsetup cryptsetup-bin cryptsetup-initramfs dosfstools fdisk e2fsprogs dmsetup "
    "util-linux iproute2 procps python3-apt"
).split()
# Modules that no emulated machine has a device for, and texts: a third of the size, which every copy has to carry
LEFT_OUT = (
    "/usr/share/man/* /usr/share/doc/* /usr/share/locale/* /usr/share/i18n/* /usr/share/info/* "
    "/lib/modules/*/kernel/drivers/gpu/* /lib/modules/*/kernel/drivers/media/* /lib/modules/*/kernel/sound/* "
    "/lib/modules/*/kernel/drivers/infiniband/* /lib/modules/*/kernel/drivers/staging/* "
    "/lib/modules/*/kernel/drivers/net/wireless/* /lib/modules/*/kernel/drivers/net/ethernet/* "
    "/lib/modules/*/kernel/drivers/isdn/* /lib/modules/*/kernel/drivers/iio/* /lib/modules/*/kernel/drivers/hwmon/* "
    "/lib/modules/*/kernel/drivers/input/* /lib/modules/*/kernel/drivers/hid/* "
    "/lib/modules/*/kernel/fs/ocfs2/* /lib/modules/*/kernel/fs/ceph/* /lib/modules/*/kernel/fs/nfs*"
).split()
PROVISION = Path(__file__).with_name("provision.sh")


@dataclass(frozen=True)
class SystemImage:
    """The two partitions of one bootable system, ready to be put into a disk.

    esp: vfat with systemd-boot (UEFI) and syslinux (BIOS); root: ext4, in LUKS2 unless it is unlocked by nothing.
    key: private SSH key of root; unlock: how the root partition is opened at boot.
    """

    esp: Path
    root: Path
    key: Path
    unlock: Unlock

    @property
    def content(self) -> str:
        """What stands for this image in the names of things made from it: the hash in its directory's name."""
        return f"{self.root.parent.name}-{self.unlock}"


def build_image(unlock: Unlock = "keyfile", suite: str | None = None) -> SystemImage:
    """Return the image of a Debian `suite` (default: the host's own), built only if the cache does not hold it."""
    sources = apt_sources(suite or os.environ.get("BLKSYNC_VM_SUITE"))
    suites = sorted({line.split()[-2] for line in sources})
    made_from = [suites, PACKAGES, LEFT_OUT, PROVISION.read_text(), identities(), source_key("image.py")]
    directory = cached("image", content_key(*made_from), lambda target: _build_all(target, suites[0], sources))
    root = directory / ("root-plain.img" if unlock == "none" else "root-luks.img")
    return SystemImage(directory / f"esp-{unlock}.img", root, directory / "id_ed25519", unlock)


def apt_sources(suite: str | None = None) -> list[str]:
    """Return the host's own Debian package sources as apt one-liners, for another release if `suite` names one."""
    fields = "$(ORIGIN)|$(REPO_URI)|$(CODENAME)|$(COMPONENT)"
    targets = [
        line.split("|")
        for line in run("apt-get", "indextargets", "--format", fields, "Created-By: Packages").splitlines()
    ]
    debian = [target[1:] for target in targets if target[0] == "Debian"]
    if not debian:
        raise CommandError("apt on this machine knows no Debian source (or `apt-get update` never ran)")
    own = min((codename for _uri, codename, _component in debian), key=len)
    named = [(uri, codename.replace(own, suite or own), component) for uri, codename, component in debian]
    return sorted(
        {f"deb {uri} {codename} {component}" for uri, codename, component in named},
        key=lambda line: (len(line.split()[2]), line),
    )


def identities() -> str:
    """Return the fixed identities as shell assignments, for provision.sh."""
    return f"ESP_SERIAL={ESP_SERIAL}\nLUKS_UUID={LUKS_UUID}\nROOT_UUID={ROOT_UUID}\nPASSPHRASE='{PASSPHRASE}'\n"


def kernel_command_line(unlock: Unlock) -> str:
    """Return the kernel command line that finds the root file system, by UUID alone."""
    if unlock == "none":
        root = f"root=UUID={ROOT_UUID}"
    else:
        key = "/keys/root.key" if unlock == "keyfile" else "none"
        root = f"cryptopts=target=cryptroot,source=UUID={LUKS_UUID},key={key},luks root=/dev/mapper/cryptroot"
    return f"{root} ro console=ttyS0,115200 mitigations=off quiet"


def _build_all(directory: Path, suite: str, sources: list[str]) -> None:
    key = directory / "id_ed25519"
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", key)
    tree = directory / "tree"
    _bootstrap(tree, suite, sources, directory)
    plain, luks = directory / "root-plain.img", directory / "root-luks.img"
    _make_root(tree, plain)
    run("cp", "--sparse=always", plain, luks)
    _encrypt(luks)
    for unlock in ("none", "keyfile", "passphrase"):
        _make_esp(tree, directory / f"esp-{unlock}.img", kernel_command_line(unlock), directory / "boot")
    shutil.rmtree(tree)


def _bootstrap(tree: Path, suite: str, sources: list[str], directory: Path) -> None:
    """Make the Debian tree and provision it; the package sources are not left in it."""
    (directory / "identities").write_text(identities())
    options = [f"--dpkgopt=path-exclude={pattern}" for pattern in LEFT_OUT]
    run(
        "mmdebstrap",
        "--mode=root",
        "--variant=minbase",
        "--quiet",
        f"--include={','.join(PACKAGES)}",
        '--aptopt=Acquire::Languages "none"',
        '--aptopt=APT::Install-Recommends "false"',
        *options,
        f"--customize-hook=copy-in {PROVISION} {directory}/identities {directory}/id_ed25519.pub /root",
        '--customize-hook=chroot "$1" bash /root/provision.sh && rm "$1/root/provision.sh"',
        suite,
        tree,
        "-",
        input="\n".join(sources) + "\n",
        timeout=1200,
    )
    for source in [tree / "etc/apt/sources.list", *(tree / "etc/apt/sources.list.d").iterdir()]:
        source.unlink(missing_ok=True)


def _make_root(tree: Path, image: Path) -> None:
    """Make the ext4 image; it leaves room in the partition for the LUKS header that the encrypted variant has."""
    run(
        "mke2fs",
        "-q",
        "-t",
        "ext4",
        "-L",
        "system",
        "-U",
        ROOT_UUID,
        "-E",
        "root_owner=0:0",
        "-d",
        tree,
        image,
        f"{ROOT_MIB - LUKS_OVERHEAD_MIB}M",
    )
    os.truncate(image, ROOT_MIB * MIB)


def _encrypt(image: Path) -> None:
    """Turn the plain image into LUKS2 in place. PBKDF2 with few rounds: argon2id takes 15 s under emulation."""
    run(
        "cryptsetup",
        "reencrypt",
        "--encrypt",
        "--batch-mode",
        "--type",
        "luks2",
        "--uuid",
        LUKS_UUID,
        "--cipher",
        "aes-xts-plain64",
        "--key-size",
        "512",
        "--sector-size",
        "4096",
        "--pbkdf",
        "pbkdf2",
        "--pbkdf-force-iterations",
        "1000",
        "--reduce-device-size",
        f"{LUKS_OVERHEAD_MIB}M",
        "--resilience",
        "none",
        "--key-file",
        "-",
        image,
        input=PASSPHRASE,
    )


def _make_esp(tree: Path, image: Path, command_line: str, work: Path) -> None:
    """Make an EFI system partition that starts the same kernel by UEFI (removable-media path) and by BIOS."""
    for name in ("EFI/BOOT", "loader/entries", "syslinux"):
        (work / name).mkdir(parents=True)
    shutil.copy(tree / "usr/lib/systemd/boot/efi/systemd-bootx64.efi", work / "EFI/BOOT/BOOTX64.EFI")
    shutil.copy(next((tree / "boot").glob("vmlinuz-*")), work / "vmlinuz")
    shutil.copy(next((tree / "boot").glob("initrd.img-*")), work / "initrd.img")
    (work / "loader/loader.conf").write_text("default system.conf\ntimeout 0\neditor no\n")
    (work / "loader/entries/system.conf").write_text(
        f"title system\nlinux /vmlinuz\ninitrd /initrd.img\noptions {command_line}\n"
    )
    (work / "syslinux/syslinux.cfg").write_text(
        "SERIAL 0 115200\nDEFAULT system\nPROMPT 0\nTIMEOUT 1\n"
        f"LABEL system\n LINUX /vmlinuz\n INITRD /initrd.img\n APPEND {command_line}\n"
    )
    with image.open("wb") as new:
        new.truncate(ESP_MIB * MIB)
    run("mkfs.vfat", "-F", "32", "-s", "1", "-n", "ESP", "-i", ESP_SERIAL, image)
    run("mcopy", "-s", "-Q", "-i", image, *sorted(work.iterdir()), "::/")
    run("syslinux", "--directory", "/syslinux", "--install", image)
    shutil.rmtree(work)
