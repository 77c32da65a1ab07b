# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  digest_dir:
    description:
      - A directory for digests. A digest holds a checksum of every block of an image file. The source is compared with
        the digest, so only the blocks that were written are read from the image.
      - The directory must be on a file system that this task does not copy, freeze or unmount. Only root may have write
        access to it. It is created if it is missing.
      - A digest is used only if the last run with it ended well, and if the image file's inode, size and times (of its
        content and of its inode, in nanoseconds) are unchanged since that run. Otherwise everything is compared, a
        new digest is made, and the result says so.
      - While the task runs, no other program may have the image open. If another program opens it, that program waits
        for a moment, and the next run does not use the digest. On a tmpfs and on a file system without leases (NFS,
        FUSE) digests are never used. A file system that is mounted with C(lazytime) is refused.
      - O(target) must be an image file. A device as target is refused, because a device does not show that another
        program wrote to it.
    type: path
  digest_max_age:
    description:
      - Compare everything again if the last full comparison is older than this number of seconds. V(0) means no limit.
    type: int
    default: 2592000
  digest_full_every:
    description:
      - Compare everything again in every n-th run. V(0) means no limit.
    type: int
    default: 100
  algorithm:
    description:
      - The checksum in digests, by the name that C(blocksync-fast) gives it. Checksums of less than 128 bits are not
        offered, because they would sometimes miss a changed block.
      - V(auto) keeps the algorithm of an existing digest. For a new one it is V(XXH128) if the Python package C(xxhash)
        is installed (and if C(blocksync-fast) knows it, with that engine), else the faster one of V(SHA256) and
        V(BLAKE2B_256).
      - XXH128 detects accidental changes. A person who chooses what is written to the source could make two blocks with
        the same checksum; the cryptographic algorithms prevent this too.
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
