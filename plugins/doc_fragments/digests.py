# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  digest_dir:
    description:
      - A folder for digests, which hold a checksum of every block of an image file. With one the image is not read any
        more, but for the blocks that were written.
      - It must be on a file system that this task neither copies, freezes nor unmounts, and writable by root alone.
        It is created where it is missing.
      - A digest is believed only if the last run with it came to its end, and if the image file's inode, size and times
        (of its content and of its inode, in nanoseconds) are as that run left them. Otherwise everything is compared
        and the digest made anew, and the result says so.
      - While the task runs, nothing else may have the image open; whoever opens it waits for a moment, and the digest
        is not believed by the next run. In a tmpfs and on a file system without leases (NFS, FUSE) no digest is ever
        believed. A file system that is mounted with C(lazytime) is refused.
      - O(target) must be an image file. A device as target is refused, since no device tells that something else wrote
        to it.
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
