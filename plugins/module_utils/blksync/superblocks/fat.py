# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""FAT, exFAT and NTFS, whose first sector is alike. All little-endian.

Facts: "Microsoft FAT Specification" (2005), chapters 3 and 4; struct fat_boot_sector in
include/uapi/linux/msdos_fs.h; "exFAT file system specification" 3.1; struct NTFS_BOOT in fs/ntfs3/ntfs.h.
"""

from __future__ import annotations

from .content import Content, Read, field, power_of_two

LENGTH = 512  # bytes
DIRTY, HARD_ERROR = 0x1, 0x2  # of the state in the boot sector
EXTENDED = (0x28, 0x29)  # signatures without which the boot sector has no state
MEDIA_FAILURE, VOLUME_DIRTY = 0x4, 0x2  # VolumeFlags of exFAT
MOST_OF_FAT12 = 4084  # clusters
REPAIR = "fsck.fat -a %s, while it is not mounted"


def parse_vfat(kind: str, read: Read) -> Content | None:
    """None if there is no such boot sector. A volume that is only not unmounted is ``unclean``, not damaged."""
    boot = read(0, LENGTH)
    if boot is None or not _plausible(boot):
        return None
    sector = field(boot, "<H", 11)
    wide = not field(boot, "<H", 22) and field(boot, "<I", 36) != 0  # FAT32, as the kernel distinguishes it
    state = boot[0x41] if wide and boot[0x42] in EXTENDED else 0
    if not wide and boot[0x26] in EXTENDED:
        state = boot[0x25]
    clean, sound = _second_entry(boot, sector, wide, read)
    damage = ["its boot sector is marked as having errors"] if state & HARD_ERROR else []
    if not sound:
        damage.append("its table is marked as having met read or write errors")
    unclean = bool(state & DIRTY) or not clean
    return Content(kind, unit=sector, damage=tuple(damage), repair=REPAIR, unclean=unclean)


def _plausible(boot: bytes) -> bool:
    sector = field(boot, "<H", 11)
    return power_of_two(sector, 512, 4096) and power_of_two(boot[13], 1, 128) and boot[16] > 0 and _reserved(boot) > 0


def _reserved(boot: bytes) -> int:
    """Sectors before the first table."""
    count: int = field(boot, "<H", 14)
    return count


def _second_entry(boot: bytes, sector: int, wide: bool, read: Read) -> tuple[bool, bool]:
    """The two flags of FAT[1], "was unmounted" and "met no error"; FAT12 has none.

    All other bits of the entry are set, but perhaps for the lowest three: what is otherwise is no such entry.
    """
    if not wide and _clusters(boot, sector) <= MOST_OF_FAT12:
        return True, True
    table = read(_reserved(boot) * sector, LENGTH)
    if table is None:
        return True, True
    entry, top, ones = (
        (field(table, "<I", 4), 0x08000000, 0x03FFFFF8) if wide else (field(table, "<H", 2), 0x8000, 0x3FF8)
    )
    if entry & ones != ones:
        return True, True
    return bool(entry & top), bool(entry & top >> 1)


def _clusters(boot: bytes, sector: int) -> int:
    sectors = field(boot, "<H", 19) or field(boot, "<I", 32)
    root = -(-field(boot, "<H", 17) * 32 // sector)
    data = sectors - _reserved(boot) - boot[16] * field(boot, "<H", 22) - root
    return int(data) // boot[13]


def tables_end(boot: bytes) -> int:
    """Where the allocation tables end, in bytes from the start of the volume; 0 if ``boot`` is no FAT boot sector."""
    if len(boot) < LENGTH or boot[510:512] != b"\x55\xaa" or not _plausible(boot):
        return 0
    sectors = _reserved(boot) + boot[16] * (field(boot, "<H", 22) or field(boot, "<I", 36))
    return int(sectors * field(boot, "<H", 11))


def parse_exfat(kind: str, read: Read) -> Content | None:
    """See parse_vfat."""
    boot = read(0, LENGTH)
    if boot is None or boot[3:11] != b"EXFAT   " or not 9 <= boot[108] <= 12:
        return None
    flags = field(boot, "<H", 106)
    return Content(
        kind,
        unit=1 << boot[108],
        damage=("its boot sector is marked as having met a failure of the medium",) if flags & MEDIA_FAILURE else (),
        repair="fsck.exfat %s, while it is not mounted",
        unclean=bool(flags & VOLUME_DIRTY),
    )


def parse_ntfs(kind: str, read: Read) -> Content | None:
    """See parse_vfat; its flags are not looked at."""
    boot = read(0, LENGTH)
    if boot is None or boot[3:11] != b"NTFS    ":
        return None
    sector = field(boot, "<H", 11)
    return Content(kind, unit=sector) if power_of_two(sector, 512, 4096) else None
