#!/usr/bin/python
# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: image_delta
short_description: Make a delta of a device or image, and apply it to a copy elsewhere
version_added: 0.1.0
description:
  - O(state=created) reads a device or image once, compares it with the digest of its last delta, and writes the blocks
    that have changed to a new delta file. The digest is updated only after the delta was stored safely.
  - O(state=applied) writes a delta to an image if the image has the content from which the delta starts. A delta that
    was cut off, that is applied in the wrong order, or that was made for another image is refused before anything is
    written.
  - Digest and delta have the file formats of the program C(blocksync-fast). The manifest beside the delta,
    C(DELTA.json), has the length and the hash of the delta, and the names of the contents before and after it.
requirements:
  - Python 3.8 or later and Linux on the managed host, and root for devices.
  - Python 3.9 or later on the managed host, if the controller has ansible-core 2.20 or later.
extends_documentation_fragment:
  - blksync.backup.attributes
  - blksync.backup.attributes.actiongroup_all
  - blksync.backup.quiescing
attributes:
  check_mode:
    support: full
    details:
      - Reads everything, opens nothing for writing and creates no file.
  diff_mode:
    support: none
  idempotent:
    support: full
    details:
      - If nothing changed, no delta is made. An existing delta is not replaced. A delta that was applied is not applied
        again.
options:
  state:
    description:
      - V(created) makes the next delta from O(image); V(applied) applies a delta to O(image).
    type: str
    choices: [created, applied]
    required: true
  image:
    description:
      - The absolute path of the block device or image file that is read (O(state=created)) or written
        (O(state=applied)).
    type: path
    required: true
  delta:
    description:
      - The absolute path of the delta. Its manifest is beside it, with C(.json) appended; transfer both.
      - With O(state=created), an existing delta is not replaced, because it may not have been applied yet. After it was
        applied, remove both files; then the next run makes the next delta.
    type: path
    required: true
  digest:
    description:
      - The absolute path of the digest, which describes the content after the last delta. Required for
        O(state=created).
      - If the digest is missing, the delta holds all blocks and begins a chain. A digest that C(blocksync-fast) made
        is used too, if its checksums have at least 128 bits.
      - O(digest) and O(delta) must not lie on the device that is read, or on a file system that is frozen for it.
    type: path
  algorithm:
    description:
      - The checksum of a new digest. An existing digest keeps its checksum.
      - V(auto) is V(XXH128) if the Python package C(xxhash) is installed, else the faster one of V(SHA256) and
        V(BLAKE2B_256). The host that applies the delta needs the same algorithm.
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
  block_size:
    description:
      - The block size of a new digest in bytes. An existing digest keeps its block size.
    type: int
    choices: [4096, 8192, 16384, 32768, 65536, 131072, 262144, 524288, 1048576]
    default: 4096
  rate_limit:
    description:
      - The largest number of bytes a second that are read, and that are written. V(0) is no limit. Other values must be
        at least V(1048576), which is 1 MiB a second.
      - With O(state=created), a source that is frozen stays frozen until all of it has been read at this rate.
    type: int
    default: 0
  create:
    description:
      - With O(state=applied), create the image file O(image) if it is missing, from a delta that begins a chain.
    type: bool
    default: false
  protected:
    description:
      - With O(state=applied), a list of disks that are never written, as the identifiers that
        M(blksync.backup.disk_sync) takes.
    type: raw
notes:
  - O(state=applied) reads the whole image once, to check that it has the right content.
  - Somebody who can change a delta and its manifest can write anything into the image. Transfer them over connections
    that you trust. The hash in the manifest detects only accidental changes.
seealso:
  - module: blksync.backup.image_sync
author:
  - blksync.backup contributors (@blksync)
"""

EXAMPLES = r"""
- name: Make the next delta of a workstation's system partition
  blksync.backup.image_delta:
    state: created
    image: /dev/disk/by-partuuid/11111111-02
    digest: /srv/blksync/system.digest
    delta: /srv/blksync/system.delta
  register: created

- name: Apply the delta on the backup server, to which it was transferred with its manifest
  blksync.backup.image_delta:
    state: applied
    image: /srv/images/workstation.img
    delta: /srv/incoming/workstation.delta
    create: true
  delegate_to: backup-server
"""

RETURN = r"""
changed:
  description: Whether a delta was made or bytes of the image differ from before (in check mode, would be).
  returned: always
  type: bool
pending:
  description: Whether a delta already existed, which still has to be applied.
  returned: success
  type: bool
created:
  description: Whether the image file was created (in check mode, would be).
  returned: success
  type: bool
blocks_total:
  description: How many blocks the image has.
  returned: success
  type: int
blocks_changed:
  description: How many blocks the delta holds, or how many blocks of the image differed.
  returned: success
  type: int
bytes_changed:
  description: The bytes of those blocks that this run wrote (in check mode, would write).
  returned: success
  type: int
delta:
  description: The data of the manifest. C(null) if nothing changed, and in check mode.
  returned: success
  type: dict
  contains:
    path:
      description: The path of the delta.
      type: str
    length:
      description: The length of the delta in bytes.
      type: int
    sha256:
      description: The SHA-256 of the delta.
      type: str
    parent:
      description: The name of the content from which the delta starts; empty if the delta holds all blocks.
      type: str
    result:
      description: The name of the content after the delta was applied.
      type: str
    data_size:
      description: The size of the image in bytes.
      type: int
    block_size:
      description: The size of a block in bytes.
      type: int
    algorithm:
      description: The checksum from which the names of contents are made.
      type: str
    blocks:
      description: How many blocks the delta holds.
      type: int
    created:
      description: When the delta was made, in Unix seconds.
      type: int
    format:
      description: The version of the manifest's format.
      type: int
quiesce:
  description: The file systems that were frozen, unmounted or remounted while the source was read, and for how long.
  returned: success
  type: list
  elements: dict
seconds:
  description: How long the task took.
  returned: success
  type: float
refusals:
  description: Every reason why nothing was touched, each with C(code), C(message) and C(hint).
  returned: when the task was refused
  type: list
  elements: dict
kind:
  description:
    - The class of the error, a stable word for programs. V(delta_mismatch) is a delta for another content, V(bad_file)
      one that was cut off or changed.
  returned: failure
  type: str
problems:
  description: If RV(kind=invalid_request), all that is wrong with the options, a sentence or two for each mistake.
  returned: failure
  type: list
  elements: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.blksync.backup.plugins.module_utils.ansible_adapter import (
    argument_spec,
    request_of,
    run_core,
)
from ansible_collections.blksync.backup.plugins.module_utils.blksync.deltas import apply, create
from ansible_collections.blksync.backup.plugins.module_utils.blksync.options import DeltaRequest
from ansible_collections.blksync.backup.plugins.module_utils.blksync.records.run import Origin
from ansible_collections.blksync.backup.plugins.module_utils.blksync.sync.bookkeeping import Bookkeeping


def worked(module: AnsibleModule) -> dict[str, Any]:
    """The result of one run, as exit_json takes it."""
    request = request_of(DeltaRequest, module)
    if module.params["state"] == "created":
        report = create.run(request)
    else:
        report = apply.run(request, books=Bookkeeping(Origin("module"), "image_delta", request.image))
    return dict(report.as_dict(), warnings=report.warnings)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["created", "applied"], "required": True},
            **argument_spec(DeltaRequest),
        },
        required_if=[("state", "created", ["digest"])],
        supports_check_mode=True,
    )
    run_core(module, worked)


if __name__ == "__main__":
    main()
