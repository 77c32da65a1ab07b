# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  engine:
    description:
      - What compares and copies the blocks.
      - V(auto) is V(native). It needs nothing but Python on the managed host, takes about as long as reading one of the
        disks, and is the only engine that copies parts of a partition.
      - V(blocksync_fast) runs the program of that name; everything it did is read again and repaired where needed,
        since the program can report success over lost data. It takes about two to three times as long.
      - A program that is missing, or that cannot run on this machine, fails the task before anything is touched.
    type: str
    choices: [auto, native, blocksync_fast]
    default: auto
  verify:
    description:
      - How much is read back from the target before success is reported.
      - V(auto) is everything that was written; what was not written has been compared on the medium already.
      - V(full) is every byte of the target.
    type: str
    choices: [auto, full]
    default: auto
  allow_damaged_source:
    description:
      - Copy a source although its file system has recorded errors. Without it such a source is refused, so that a
        damaged main disk does not overwrite a good backup.
      - Looked at are the superblocks of ext2, ext3, ext4, xfs, btrfs, vfat and exfat, also inside LUKS and LVM that are
        open, and the errors that the kernel counts of mounted ext4 and btrfs file systems.
    type: bool
    default: false
  block_size:
    description:
      - The unit in bytes in which differences are counted and written.
      - Larger blocks make writes larger. A device with larger sectors uses those.
    type: int
    choices: [4096, 8192, 16384, 32768, 65536, 131072, 262144, 524288, 1048576]
    default: 4096
  compare:
    description:
      - V(false) writes every block without looking at what the target holds, for example to fill a new disk whose
        reads are slow. The result is then always changed.
    type: bool
    default: true
"""
