# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  engine:
    description:
      - The engine that compares and copies the blocks.
      - V(auto) is V(native). V(native) needs only Python on the managed host, takes about as long as reading one of the
        disks, and is the only engine that copies parts of a partition.
      - V(blocksync_fast) runs the program of that name. The program can report success although it lost data. So source
        and target are compared again afterwards, and blocks that differ are copied. This takes two to three times as
        long.
      - If the program is missing or cannot run on this machine, the task fails before anything is changed.
    type: str
    choices: [auto, native, blocksync_fast]
    default: auto
  scope:
    description:
      - Which blocks of the source are compared and copied.
      - V(all) is every block, free space included.
      - V(used) does not copy the free space of a mounted ext4 or xfs file system that lies on the source itself or in
        LUKS. All blocks that the file system uses and all blocks outside it (such as the LUKS header) are copied. Any
        other source is copied whole, and RV(partitions[].scope) says why.
      - With V(used) the free space of the target keeps its old bytes, so deleted files may still be found on the
        backup. With LUKS the encrypted backup shows which blocks are in use.
      - V(used) is refused with O(engine=blocksync_fast).
    type: str
    choices: [all, used]
    default: all
  verify:
    description:
      - How much of the target is read back before success is reported.
      - V(auto) reads back all written blocks. The other blocks were read from the medium when they were compared.
      - V(full) reads back every byte of the target.
    type: str
    choices: [auto, full]
    default: auto
  rate_limit:
    description:
      - The largest number of bytes a second that are read from the source, and that are written to the target. V(0) is
        no limit. Other values must be at least V(1048576), which is 1 MiB a second.
      - The target is read no faster than this too. It is read and written at the same time.
      - M(blksync.backup.disk_sync) has no limit while file systems are frozen or unmounted for a live copy, because
        programs wait. With O(quiesce=freeze) the limit holds, so the source stays frozen for longer.
        M(blksync.backup.image_sync) always keeps to the limit.
      - A limit is refused with O(engine=blocksync_fast), because the program cannot limit its rate.
    type: int
    default: 0
  allow_damaged_source:
    description:
      - V(true) copies a source even if its file system has recorded errors. V(false) refuses such a source, so that a
        damaged main disk does not overwrite a good backup.
      - The recorded errors are those in the superblocks of ext2, ext3, ext4, xfs, btrfs, vfat and exfat, also inside
        open LUKS and LVM, and the kernel's error counts of mounted ext4 and btrfs file systems.
    type: bool
    default: false
  block_size:
    description:
      - The unit in bytes in which differences are counted and written.
      - Larger blocks mean larger writes. If the sectors of a device are larger than this, their size is used instead.
    type: int
    choices: [4096, 8192, 16384, 32768, 65536, 131072, 262144, 524288, 1048576]
    default: 4096
  compare:
    description:
      - V(false) writes every block without reading the target first, for example to fill a new disk that is slow to
        read. The task then always reports changed.
    type: bool
    default: true
"""
