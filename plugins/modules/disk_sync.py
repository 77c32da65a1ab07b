#!/usr/bin/python
# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: disk_sync
short_description: Keep a backup disk identical to the main disk, partition by partition
version_added: 0.1.0
description:
  - Makes the partitions of a backup disk equal to those of the main disk. Only blocks that differ are written.
  - Refuses everything that could write to the wrong disk or lose data. All reasons are reported together, before
    anything is changed.
  - A mounted source partition is copied while it is in use, if the kernel can trace the writes to it. It is then frozen
    only for short moments. Otherwise it is frozen during the whole copy. Everything that was frozen or unmounted is put
    back, even if the task fails or is killed.
  - Success is reported only if the target equals the source, the device has confirmed a flush, and all written blocks
    have been read back and compared.
requirements:
  - Python 3.8 or later and Linux on the managed host, and root.
  - Python 3.9 or later on the managed host, if the controller has ansible-core 2.20 or later.
  - The C(blocksync-fast) program only for O(engine=blocksync_fast).
extends_documentation_fragment:
  - blksync.backup.attributes
  - blksync.backup.attributes.actiongroup_all
  - blksync.backup.disk
  - blksync.backup.comparison
  - blksync.backup.quiescing
attributes:
  check_mode:
    support: full
    details:
      - Opens devices only for reading. The predicted blocks and bytes are exact if nothing writes to the source.
  diff_mode:
    support: full
  idempotent:
    support: full
    details:
      - A second run on an unchanged source is unchanged.
options:
  partitions:
    description:
      - The numbers of the partitions to sync, as a list. Each partition must exist on both disks with exactly the same
        size.
      - The word V(all) means every partition of the source. The task is refused unless the target has each of them, in
        equal size and of the same type. An extended partition is only a container and is ignored. The logical
        partitions in it are copied.
      - A partition that is not listed is not changed, and RV(left_out) names it. The task is refused if the running
        system starts from it.
    type: raw
    default: [1, 2]
  quiesce:
    description:
      - How to get a consistent copy of a source that is in use.
      - V(live) copies the source while it is in use, and the kernel traces all writes to it. At the end its file
        systems are frozen for the short time in which the last written blocks are copied.
      - V(freeze) freezes its file systems and unmounts those that cannot be frozen (an ESP, for example), until the
        last partition has been read.
      - If V(live) is not possible, for example without tracefs, the partition is copied as with V(freeze), and
        RV(partitions[].live) says why. File systems that cannot be frozen, such as an ESP, are unmounted even with
        V(live), first for their own copy and once more at the end.
      - With each value the backup shows all partitions at one and the same moment. If the kernel counts a write to a
        source at that moment, the task fails.
      - V(none) refuses a source that is mounted read-write.
      - V(auto) is V(live) if something is mounted read-write. Otherwise nothing is frozen or unmounted.
    type: str
    choices: [auto, live, freeze, none]
    default: auto
  quiesce_fallback:
    description:
      - With O(quiesce=live), what happens if a partition that has to be frozen cannot be copied live.
      - V(true) freezes it for the whole copy instead; V(false) fails the task.
    type: bool
    default: true
  protected:
    description:
      - A list of disks that are never written, named by the same identifiers as O(target). The task is refused if
        O(target) is one of them.
      - An identifier that matches no disk is ignored. One that matches several disks protects all of them.
    type: raw
  power_off:
    description:
      - Power the target off at the end, so that it can be unplugged. This works only for disks that software can power
        off. The task is refused for others.
    type: bool
    default: false
  discard_changes:
    description:
      - What happens if somebody else changed the target since the last sync that succeeded, for example because the
        system on it was started on another machine, or because it was mounted for writing.
      - V(false) refuses the task, so that no work is lost. V(true) overwrites the changes.
      - The superblocks of the file systems, also inside LUKS, and the tables of FAT show whether a disk was changed. A
        few changes leave them as they are; the page on safety in the documentation lists these.
    type: bool
    default: false
seealso:
  - module: blksync.backup.disk_info
author:
  - blksync.backup contributors (@blksync)
"""

EXAMPLES = r"""
- name: Keep the backup disk bootable
  blksync.backup.disk_sync:
    source: "11111111"
    target: "22222222"
    partitions: [1, 2]

- name: Back up every partition, or nothing
  blksync.backup.disk_sync:
    source: "11111111"
    target: "22222222"
    partitions: all

- name: Never write to the archive disk, read every byte back, then power the backup disk off
  blksync.backup.disk_sync:
    source: serial:S4EWNX0R123456
    target: /dev/disk/by-id/usb-Samsung_Portable_SSD_T7_S6XNNS0T-0:0
    protected:
      - 6f9619ff-8b86-d011-b42d-00c04fc964ff
    verify: full
    power_off: true

- name: Copy only used blocks, and fail instead of freezing a file system for the whole copy
  blksync.backup.disk_sync:
    source: "11111111"
    target: "22222222"
    scope: used
    quiesce: live
    quiesce_fallback: false

- name: Make a long first copy in the background, and check once a minute whether it has ended
  blksync.backup.disk_sync:
    source: "11111111"
    target: "22222222"
  async: 14400
  poll: 60
"""

RETURN = r"""
changed:
  description:
    - Whether bytes on the target differ from before (in check mode, would differ).
    - After a failure, whether they may differ.
  returned: always
  type: bool
source:
  description: The disk that was read.
  returned: success
  type: dict
  contains: &disk
    path:
      description: The device node.
      type: str
    ptuuid:
      description: The identifier of the partition table.
      type: str
    model:
      description: The model, as the disk reports it.
      type: str
    serial:
      description: The serial number.
      type: str
    size:
      description: The size in bytes.
      type: int
target:
  description: The disk that was written.
  returned: success
  type: dict
  contains: *disk
engine:
  description: The engine that compared and copied.
  returned: success
  type: dict
  contains:
    name:
      description: V(native) or V(blocksync_fast).
      type: str
    version:
      description: Its version.
      type: str
  sample: {name: native, version: 0.1.0}
bytes_written:
  description: The bytes that were written to the target (in check mode, would be).
  returned: success
  type: int
partitions:
  description: The result for each pair, in the order of O(partitions). After a failure, how far each copy came.
  returned: when the copy (or comparison) had begun
  type: list
  elements: dict
  contains:
    number:
      description: The partition's number.
      type: int
    source:
      description: Device node of the source partition.
      type: str
    target:
      description: Device node of the target partition.
      type: str
    size:
      description: The size of each of them in bytes.
      type: int
    block_size:
      description: The unit in bytes of RV(partitions[].blocks_total) and RV(partitions[].blocks_changed).
      type: int
    blocks_total:
      description: How many blocks the partition has.
      type: int
    blocks_changed:
      description:
        - How many blocks differed.
        - For a live copy, how many blocks were written. A block that changed during the copy and was written again
          counts again.
      type: int
    bytes_written:
      description:
        - The bytes that were written (in check mode, to be written).
        - For a live copy, including blocks that were written again.
      type: int
    bytes_compared:
      description: How many bytes of the pair were compared.
      type: int
    bytes_read:
      description: How many bytes were read from both devices together.
      type: int
    bytes_skipped:
      description: How many bytes of the partition are free and were not read; 0 without O(scope=used).
      type: int
    scope:
      description: Which blocks were compared and copied.
      type: dict
      contains:
        mode:
          description: V(all) or V(used), what was done.
          type: str
        reason:
          description:
            - Why the whole partition was copied in spite of O(scope=used); C(null) otherwise.
            - The codes are C(swap), C(not_mounted), C(several_types), C(unsupported), C(stacked),
              C(mountpoint_covered), C(luks_header_invalid), C(luks_header_unsupported), C(luks_mapping_differs),
              C(map_invalid), C(map_too_large) and C(query_failed).
          type: dict
          contains: &reason
            code:
              description: A stable word for programs.
              type: str
            message:
              description: The reason in words, a part of a sentence.
              type: str
      sample: {mode: all, reason: {code: unsupported, message: vfat does not report which blocks it uses}}
    frozen_seconds:
      description:
        - The seconds for which programs had to wait before they could write to the source, all freezes together. If
          several file systems were frozen, this is the longest of their times.
        - Measured from the start of the call that freezes a file system to the end of the call that thaws it, because
          programs also wait while the first call does. A freeze that was given up counts too.
      type: float
    live:
      description:
        - How the source was copied while it was in use. C(null) if nothing had to be frozen, if O(quiesce) is V(freeze)
          or V(none), and in check mode.
      type: dict
      contains:
        used:
          description: Whether the partition was copied while it was in use.
          type: bool
        fallback:
          description:
            - Why the source was frozen for the whole copy; C(null) if it was not.
            - The codes are C(not_freezable), C(untraceable_holder), C(dax), C(freeze_failed), C(tracefs_missing),
              C(trace_refused), C(writes_not_counted), C(big_endian), C(trace_lost_events), C(trace_changed),
              C(trace_unreadable), C(trace_not_understood), C(counts_differ), C(written_past_partitions) and
              C(not_converging).
          type: dict
          contains: *reason
        iterations:
          description:
            - The number of passes that copied blocks which were written during the pass before (pre-copy iterations),
              including the last pass, for which the source was frozen.
          type: int
        dirty_bytes:
          description: How many bytes each of these passes had to copy.
          type: list
          elements: int
      sample: {used: true, fallback: null, iterations: 2, dirty_bytes: [8388608, 65536]}
    quiesce:
      description:
        - The file systems that were frozen, unmounted or remounted. The times of several short freezes are added up.
      type: list
      elements: dict
      contains:
        device:
          description: The device that carries the file system.
          type: str
        fstype:
          description: The kind of file system.
          type: str
        mountpoints:
          description: Where it is mounted.
          type: list
          elements: str
        action:
          description: V(frozen), V(unmounted) or V(remounted_read_only).
          type: str
        seconds:
          description: How long this state lasted, including the time to reach and to leave it.
          type: float
        frozen_seconds:
          description: How long programs could not write to the file system; 0 if it was not frozen.
          type: float
    verified:
      description: How the copy was verified (C(mode)), and how many bytes were read for this (C(bytes_read)).
      type: dict
    notes:
      description: Further remarks, for example that blocks which the program had lost were repaired.
      type: list
      elements: str
    seconds:
      description: The time from quiescing to the end of the verification.
      type: float
    complete:
      description:
        - Whether the target partition equals the source as it was when it was quiesced for the last time, in all blocks
          that RV(partitions[].scope) covers.
      type: bool
left_out:
  description:
    - The partitions of the source that are not in O(partitions), and so are not on the backup disk.
    - Empty if the whole source is covered. Extended partitions do not count.
  returned: when the copy (or comparison) had begun
  type: list
  elements: dict
  contains:
    number:
      description: The partition's number.
      type: int
    path:
      description: Device node of the partition, C(null) if the kernel does not show it.
      type: str
    size:
      description: Its size in bytes, C(null) if the kernel does not show it.
      type: int
    fstype:
      description: The format of its content, such as V(ext4) or V(crypto_LUKS).
      type: str
    label:
      description: The label of its file system.
      type: str
    mountpoints:
      description: Where it is mounted, also through LUKS, LVM, btrfs and loop devices.
      type: list
      elements: str
  sample:
    - {number: 3, path: /dev/sda3, size: 21474836480, fstype: ext4, label: home, mountpoints: [/home]}
powered_off:
  description: Whether the target was powered off.
  returned: success
  type: bool
refusals:
  description: Every reason why nothing was touched, each with C(code), C(message) and C(hint).
  returned: when the task was refused
  type: list
  elements: dict
  contains:
    code:
      description: A stable word for programs.
      type: str
    message:
      description: What is wrong.
      type: str
    hint:
      description: What to do about it.
      type: str
hint:
  description: What to do about the error. The message ends with it as well.
  returned: failure
  type: str
kind:
  description: The class of the error, a stable word for programs, for example V(refused), V(read_error), V(cancelled).
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
from ansible_collections.blksync.backup.plugins.module_utils.blksync.options import SyncRequest
from ansible_collections.blksync.backup.plugins.module_utils.blksync.records.run import Origin
from ansible_collections.blksync.backup.plugins.module_utils.blksync.sync import disk_sync
from ansible_collections.blksync.backup.plugins.module_utils.blksync.sync.bookkeeping import Bookkeeping


def synced(module: AnsibleModule) -> dict[str, Any]:
    """The result of one sync, as exit_json takes it."""
    request = request_of(SyncRequest, module)
    report = disk_sync.run(request, books=Bookkeeping(Origin("module"), "disk_sync", str(request.target)))
    return dict(report.as_dict(), diff=report.diff(), warnings=report.warnings)


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(SyncRequest), supports_check_mode=True)
    run_core(module, synced)


if __name__ == "__main__":
    main()
