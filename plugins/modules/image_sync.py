#!/usr/bin/python
# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: image_sync
short_description: Make a device or image file equal to another one
version_added: 0.1.0
description:
  - Copies one block device or image file to another on the same host. Only blocks that differ are written.
  - It works like M(blksync.backup.disk_sync) for one pair of devices or files, with the same kinds of refusals, the
    same verification and the same form of results. The number of the pair is 0.
  - Holes of an image stay holes. In a new image blocks of zeros become holes.
requirements:
  - Python 3.8 or later and Linux on the managed host, and root for devices.
  - Python 3.9 or later on the managed host, if the controller has ansible-core 2.20 or later.
  - The C(blocksync-fast) program only for O(engine=blocksync_fast).
extends_documentation_fragment:
  - blksync.backup.attributes
  - blksync.backup.attributes.actiongroup_all
  - blksync.backup.comparison
  - blksync.backup.digests
  - blksync.backup.quiescing
attributes:
  check_mode:
    support: full
    details:
      - Opens devices and files only for reading, and creates no file. The predicted blocks and bytes are exact if
        nothing writes to the source.
  diff_mode:
    support: full
  idempotent:
    support: full
    details:
      - A second run on an unchanged source is unchanged, except with O(compare=false).
options:
  source:
    description:
      - The absolute path of the block device or image file that is read.
      - If an image file is written to while it is copied, the task fails.
    type: path
    required: true
  target:
    description:
      - The absolute path of the block device or image file that is written. It must be as large as the source, or be a
        file that does not exist yet.
    type: path
    required: true
  create:
    description:
      - Create the image file O(target) if it is missing. A file is never created under C(/dev).
      - The file gets its name only after it was verified completely.
    type: bool
    default: false
  punch_zeros:
    description:
      - Make a hole in the image for each block that became zero. Only the native engine can do this.
    type: bool
    default: false
  keep:
    description:
      - The number of former generations of the image that are kept as C(NAME.1) (the latest), C(NAME.2) and so on. A
        new generation is made only if something changes. The generations share all blocks that did not change.
      - The changes are written to a clone of the image. The clone gets the name of the image after it was verified, so
        the image is complete at every moment.
      - This needs a file system that clones files, such as btrfs, or xfs with reflink.
    type: int
    default: 0
  protected:
    description:
      - A list of disks that are never written, as the identifiers that M(blksync.backup.disk_sync) takes. An image file
        on such a disk is refused too.
    type: raw
notes:
  - Name devices by a name that does not change, such as a link in C(/dev/disk/by-id) or a name in C(/dev/mapper). A
    bare kernel name works with a warning.
seealso:
  - module: blksync.backup.disk_sync
  - module: blksync.backup.image_delta
author:
  - blksync.backup contributors (@blksync)
"""

EXAMPLES = r"""
- name: Keep an image of the system partition and four former generations, on btrfs or xfs with reflink
  blksync.backup.image_sync:
    source: /dev/mapper/vg-system
    target: /srv/images/system.img
    create: true
    keep: 4

- name: Put an image back onto a volume
  blksync.backup.image_sync:
    source: /srv/images/system.img
    target: /dev/mapper/vg-system

- name: Keep an image of what a mounted file system uses; its free space becomes holes
  blksync.backup.image_sync:
    source: /dev/mapper/vg-home
    target: /srv/images/home.img
    create: true
    scope: used

- name: Keep a sparse copy of a virtual machine's disk, with a digest beside it
  blksync.backup.image_sync:
    source: /var/lib/machines/web.raw
    target: /mnt/backup/web.raw
    create: true
    punch_zeros: true
    digest_dir: /mnt/backup/digests
"""

RETURN = r"""
changed:
  description: Whether bytes of the target differ from before or the file was created (in check mode, would be).
  returned: always
  type: bool
source:
  description: The source, which was read.
  returned: success
  type: dict
  contains: &end
    path:
      description: For a device, the disk that it is on. For a file, the path as given.
      type: str
    ptuuid:
      description: The identifier of the disk's partition table.
      type: str
    model:
      description: The model, as the disk reports it.
      type: str
    serial:
      description: The disk's serial number.
      type: str
    size:
      description: The size in bytes of the disk or file.
      type: int
target:
  description: The target, which was written.
  returned: success
  type: dict
  contains: *end
engine:
  description: The C(name) and C(version) of the engine that compared and copied.
  returned: success
  type: dict
bytes_written:
  description: The bytes that were written to the target (in check mode, would be).
  returned: success
  type: int
partitions:
  description:
    - The result for the pair, as a list with one element of the same form as
      in M(blksync.backup.disk_sync). After a failure, how far the copy came.
  returned: when the copy (or comparison) had begun
  type: list
  elements: dict
  contains:
    scope:
      description:
        - Which blocks were compared and copied (C(mode)), and why the whole source was copied in spite of
          O(scope=used) (C(reason), empty otherwise).
      type: dict
    digest:
      description:
        - The image's digest, C(null) without O(digest_dir).
        - C(used) says whether the source was compared with the digest instead of the target. C(reason) says why not.
      type: dict
      contains:
        path:
          description: The path of the digest.
          type: str
        algorithm:
          description: The algorithm of its checksums.
          type: str
        block_size:
          description: The size of a block in bytes.
          type: int
        used:
          description: Whether the source was compared with the digest instead of the target.
          type: bool
        reason:
          description:
            - Why it was not used; C(null) if it was.
            - The codes are C(no_digest), C(record_unreadable), C(digest_invalid), C(unfinished), C(other_target),
              C(other_size), C(other_scope), C(other_algorithm), C(other_engine), C(writes_unseen), C(target_changed),
              C(comparison_due), and C(not_compared) with O(compare=false).
          type: dict
          contains:
            code:
              description: A stable word for programs.
              type: str
            message:
              description: The reason in words, a part of a sentence.
              type: str
created:
  description: Whether the image file was created (in check mode, would be).
  returned: success
  type: bool
refusals:
  description: Every reason why nothing was touched, each with C(code), C(message) and C(hint).
  returned: when the task was refused
  type: list
  elements: dict
kind:
  description: The class of the error, a stable word for programs, for example V(refused), V(read_error), V(storage).
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
from ansible_collections.blksync.backup.plugins.module_utils.blksync.options import ImageRequest
from ansible_collections.blksync.backup.plugins.module_utils.blksync.records.run import Origin
from ansible_collections.blksync.backup.plugins.module_utils.blksync.sync import image_sync
from ansible_collections.blksync.backup.plugins.module_utils.blksync.sync.bookkeeping import Bookkeeping


def synced(module: AnsibleModule) -> dict[str, Any]:
    """The result of one sync, as exit_json takes it."""
    request = request_of(ImageRequest, module)
    report = image_sync.run(request, books=Bookkeeping(Origin("module"), "image_sync", request.target))
    return dict(report.as_dict(), diff=report.diff(), warnings=report.warnings)


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(ImageRequest), supports_check_mode=True)
    run_core(module, synced)


if __name__ == "__main__":
    main()
