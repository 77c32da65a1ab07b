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
      - V(native) needs nothing but Python on the managed host, and is the faster one.
      - V(blocksync_fast) runs the program of that name; everything it did is read again and repaired where needed,
        since the program can report success over lost data.
      - V(auto) is V(blocksync_fast) where the program is installed, else V(native).
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
  block_size:
    description:
      - The unit in bytes in which differences are counted and written, and of which a digest holds one checksum each.
      - Larger blocks make digests smaller and writes larger. A device with larger sectors uses those.
    type: int
    choices: [4096, 8192, 16384, 32768, 65536, 131072, 262144, 524288, 1048576]
    default: 4096
  compare:
    description:
      - V(false) writes every block without looking at what the target holds, for example to fill a new disk whose
        reads are slow. The result is then always changed.
    type: bool
    default: true
  digest_dir:
    description:
      - A folder for digests, which hold a checksum of every block of the target. With one the target is not read
        any more, but for the blocks that were written and a sample of a few MiB.
      - It must be on a file system that this task neither copies, freezes nor unmounts, and writable by root alone.
        It is created where it is missing.
      - A digest is believed only where it belongs to these two sides, the last run with it came to its end, and the
        target was not changed by anything else as far as that can be seen. Otherwise everything is compared and the
        digest made anew, and the result says so.
      - A target disk without a serial number of its own is always compared, since nothing tells it from another one.
      - A run without a digest, and mounting the backup for writing, are noticed. Whoever else writes a few blocks to
        the target on another machine may leave its digest wrong until the next full comparison. Remove the folder's
        files, or use O(digest_full_every=1) once, if that has happened.
    type: path
  digest_max_age:
    description:
      - Compare everything again when the last full comparison is this many seconds ago. V(0) means never for that
        reason.
    type: int
    default: 2592000
  digest_full_every:
    description:
      - Compare everything again in every n-th run. V(0) means never for that reason.
    type: int
    default: 100
  algorithm:
    description:
      - The checksum in digests, by the name that C(blocksync-fast) gives it. Shorter ones than 128 bits are not
        offered, since they would overlook a changed block now and then.
      - V(auto) stays with what a digest was made with; else it is V(XXH128) where the Python package C(xxhash) is
        installed (and C(blocksync-fast) knows it, where that is the engine), else the faster one of V(SHA256) and
        V(BLAKE2B_256).
      - XXH128 detects every accident, but whoever can choose what is written to the source could make two blocks with
        the same checksum; a cryptographic one is safe against that too.
    type: str
    choices:
      - auto
      - XXH128
      - BLAKE2B_256
      - BLAKE2B_384
      - BLAKE2B_512
      - BLAKE2S_256
      - SHA256
      - SHA384
      - SHA512
      - SHA3_256
      - SHA3_384
      - SHA3_512
    default: auto
"""
