#!/usr/bin/python
# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: disk_info
short_description: List disks, their partitions, and their users
version_added: 0.1.0
description:
  - Lists the disks of the host with their identifiers, partitions, file systems, mounts, swap and stacked devices.
    Mounts and swap are found through LUKS, LVM, RAID, multipath and loop devices.
  - Serial numbers, labels and paths may hold any byte. All results and messages of this collection show control
    characters and bytes that are not valid UTF-8 as C(\xNN).
  - Only reads. Works with and without udev (containers and rescue systems often have no udev).
  - RAM disks, optical drives, floppies and drives without a medium are not listed. A multipath disk is listed once, not
    once for each path.
requirements:
  - Python 3.8 or later and Linux on the managed host. Without root some identifiers and file systems are unknown.
  - Python 3.9 or later on the managed host, if the controller has ansible-core 2.20 or later.
extends_documentation_fragment:
  - blksync.backup.attributes
  - blksync.backup.attributes.actiongroup_all
attributes:
  check_mode:
    support: full
    details:
      - This module changes nothing.
  diff_mode:
    support: N/A
    details:
      - This module changes nothing.
  idempotent:
    support: full
    details:
      - This module changes nothing.
options:
  disks:
    description:
      - The identifier of the disk to list, or a list of identifiers. Each identifier must match exactly one disk.
        Otherwise the task fails and lists the candidates.
      - The identifiers are those of O(blksync.backup.disk_sync#module:source), such as V("11111111") for a PTUUID,
        a GPT GUID, V(/dev/disk/by-id/...), V(/dev/disk/by-path/...), V(serial:...) or V(wwn:...). A number is refused,
        so quote a PTUUID or write V(ptuuid:11111111). V(/dev/sda) works with a warning.
      - Without this option all disks are listed.
    type: raw
seealso:
  - module: blksync.backup.disk_sync
author:
  - blksync.backup contributors (@blksync)
"""

EXAMPLES = r"""
- name: List all disks
  blksync.backup.disk_info:
  register: result

- name: Show the identifiers of each disk
  ansible.builtin.debug:
    msg: "{{ item.path }}: PTUUID {{ item.ptuuid }}, model {{ item.model }}, serial {{ item.serial }}"
  loop: "{{ result.disks }}"
  loop_control:
    label: "{{ item.path }}"

- name: List only two disks
  blksync.backup.disk_info:
    disks:
      - "11111111"
      - serial:S4EWNX0R123456
"""

RETURN = r"""
disks:
  description:
    - The disks, in the order of O(disks). Without O(disks) they are sorted by kernel name.
    - Values that are unknown are V(null).
  returned: success
  type: list
  elements: dict
  contains:
    path:
      description: The device node of the disk; for a multipath disk, that of the device mapper.
      type: str
      sample: /dev/sda
    links:
      description: Links to the disk in C(/dev/disk/by-id), C(/dev/disk/by-path) and C(/dev).
      type: list
      elements: str
      sample: [/dev/disk/by-id/usb-Samsung_Portable_SSD_T7_S6XNNS0T-0:0]
    model:
      description: The model, as the disk reports it.
      type: str
      sample: Portable SSD T7
    vendor:
      description: The manufacturer, as the disk reports it.
      type: str
      sample: Samsung
    serial:
      description: The serial number. If a USB bridge hides that of the disk, it is that of the bridge.
      type: str
      sample: S6XNNS0T
    wwn:
      description: The world-wide name.
      type: str
      sample: "0x5002538e00000000"
    transport:
      description: The kind of connection, for example V(usb), V(sata), V(nvme), V(mmc) or V(virtio).
      type: str
      sample: usb
    size:
      description: The size in bytes.
      type: int
      sample: 500107862016
    logical_sector:
      description: The size of a logical sector in bytes, the smallest unit that can be read or written.
      type: int
      sample: 512
    physical_sector:
      description: The size of a physical sector in bytes.
      type: int
      sample: 4096
    read_only:
      description: Whether the kernel refuses to write to it.
      type: bool
    removable:
      description: Whether the medium can be removed from the drive. Most USB disks report V(false).
      type: bool
    rotational:
      description: Whether the kernel treats it as a spinning disk.
      type: bool
    table:
      description: The kind of partition table, V(dos) for MBR or V(gpt).
      type: str
      sample: gpt
    ptuuid:
      description: The identifier of the partition table, in lower case.
      type: str
      sample: 6f9619ff-8b86-d011-b42d-00c04fc964ff
    backing_file:
      description: The file behind a loop device.
      type: str
    partitions:
      description: The partitions by number.
      type: list
      elements: dict
      contains:
        number:
          description: The number in the partition table.
          type: int
          sample: 1
        path:
          description: The device node.
          type: str
          sample: /dev/sda1
        links:
          description: Links to the partition in C(/dev/disk/by-id), C(/dev/disk/by-path) and C(/dev).
          type: list
          elements: str
        start:
          description: The offset of the partition on the disk, in bytes.
          type: int
          sample: 1048576
        size:
          description: The size in bytes.
          type: int
          sample: 536870912
        read_only:
          description: Whether the kernel refuses to write to it.
          type: bool
        partuuid:
          description: The partition's identifier in the partition table.
          type: str
          sample: 11111111-01
        type:
          description: The partition's type in the partition table, a number for MBR and a GUID for GPT.
          type: str
          sample: "0xef"
        fstype:
          description: The file system or other format, for example V(ext4) or V(crypto_LUKS).
          type: str
          sample: vfat
        label:
          description: The file system's label.
          type: str
        uuid:
          description: The file system's UUID.
          type: str
        mounts: &mounts
          description: The mounts of the partition itself, including subvolumes and bind mounts.
          type: list
          elements: dict
          contains:
            mountpoint:
              description: The directory on which it is mounted.
              type: str
              sample: /boot/efi
            root:
              description: The directory inside the file system that is mounted there.
              type: str
              sample: /
            fstype:
              description: The type of the mounted file system.
              type: str
              sample: vfat
            read_only:
              description: Whether nothing can be written through this mount.
              type: bool
        swap: &swap
          description: Whether the partition itself is used as swap.
          type: bool
        holders: &holders
          description: The devices that are stacked on it, each with its own C(mounts), C(swap) and C(holders).
          type: list
          elements: dict
          contains:
            path:
              description: The device node.
              type: str
              sample: /dev/mapper/luks-system
            kind:
              description:
                - The kind of device. V(crypt), V(lvm), V(raid), V(mpath), V(bcache), or V(dm) for any other mapping.
                - V(loop) is a loop device whose file lies on the partition, or that is a range of the partition.
                - V(partition) is a partition of such a device.
                - V(alias) is another device with the same bytes, such as a second loop device over one file.
                - V(disk) is the partition's own disk, if the disk is in use as a whole.
              type: str
              sample: crypt
            mounts:
              description: The mounts of the device, as for a partition.
              type: list
              elements: dict
            swap:
              description: Whether the device is used as swap.
              type: bool
            holders:
              description: The devices that are stacked on this device.
              type: list
              elements: dict
    mounts: *mounts
    swap: *swap
    holders: *holders
kind:
  description: The class of the error, for example V(disk_not_found), V(disk_ambiguous) or V(invalid_request).
  returned: failure
  type: str
hint:
  description: What to do about the error.
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
from ansible_collections.blksync.backup.plugins.module_utils.ansible_adapter import run_core
from ansible_collections.blksync.backup.plugins.module_utils.blksync.discovery import as_dict, identifiers
from ansible_collections.blksync.backup.plugins.module_utils.blksync.discovery.observe import (
    observe,
    unread,
)


def listed(module: AnsibleModule) -> dict[str, Any]:
    """The disks that were asked for, as exit_json takes them."""
    wanted = identifiers.parse_identifiers(module.params["disks"], "disks")
    machine = observe()
    disks = [identifiers.select(machine, identifier) for identifier in wanted] if wanted else machine.disks
    warnings = [warning for identifier in wanted for warning in identifier.warnings]
    warnings += [problem for problem in [unread(disks)] if problem]
    return {"changed": False, "disks": [as_dict.disk_as_dict(disk) for disk in disks], "warnings": warnings}


def main() -> None:
    module = AnsibleModule(
        # raw: Ansible would turn a number into a string without a word, and 01234567 is octal in YAML.
        argument_spec={"disks": {"type": "raw"}},
        supports_check_mode=True,
    )
    run_core(module, listed, needs_root=False)


if __name__ == "__main__":
    main()
