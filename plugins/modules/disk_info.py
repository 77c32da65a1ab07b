#!/usr/bin/python
# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: disk_info
short_description: List disks, their partitions, and what uses them
version_added: 0.1.0
description:
  - Lists every disk of the host with its identifiers and partitions, what the partitions hold, and what uses them
    (mounts, swap, stacked devices). Mounts and swap are found through LUKS, LVM, RAID, multipath and loop devices.
  - Serial numbers, labels and paths may hold any byte. Control characters and bytes that are no UTF-8 are written as
    C(\xNN) in all results and messages of this collection.
  - Reads only. Works with and without udev, which matters in containers and rescue systems.
  - RAM disks, optical drives, floppies and drives without a medium are left out, and so are the paths of a multipath
    disk, which is listed once.
requirements:
  - Python 3.8 or later and Linux on the managed host. Without root some identifiers and file systems stay unknown.
extends_documentation_fragment:
  - blksync.backup.attributes
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
      - A list of identifiers of the disks to list, or a single one. Each must match exactly one disk, or the task fails
        and lists the candidates.
      - The same identifiers as O(blksync.backup.disk_sync#module:source) takes, such as V("11111111") for a PTUUID,
        a GPT GUID, V(/dev/disk/by-id/...), V(/dev/disk/by-path/...), V(serial:...) or V(wwn:...). A number is refused,
        so quote a PTUUID. V(/dev/sda) works with a warning.
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

- name: Show what tells them apart
  ansible.builtin.debug:
    msg: "{{ item.path }}: PTUUID {{ item.ptuuid }}, model {{ item.model }}, serial {{ item.serial }}"
  loop: "{{ result.disks }}"
  loop_control:
    label: "{{ item.path }}"

- name: Look at two disks only
  blksync.backup.disk_info:
    disks:
      - "11111111"
      - serial:S4EWNX0R123456
"""

RETURN = r"""
disks:
  description: The disks, in the order of O(disks), else by kernel name. What is unknown is V(null).
  returned: success
  type: list
  elements: dict
  contains:
    path:
      description: The kernel's device node, or the device mapper's for a multipath disk.
      type: str
      sample: /dev/sda
    links:
      description: Links to the disk in C(/dev/disk/by-id), C(/dev/disk/by-path) and C(/dev).
      type: list
      elements: str
      sample: [/dev/disk/by-id/usb-Samsung_Portable_SSD_T7_S6XNNS0T-0:0]
    model:
      description: What the disk calls itself.
      type: str
      sample: Portable SSD T7
    vendor:
      description: Who made it.
      type: str
      sample: Samsung
    serial:
      description: The serial number; of the bridge where a USB bridge hides the disk's.
      type: str
      sample: S6XNNS0T
    wwn:
      description: The world-wide name.
      type: str
      sample: "0x5002538e00000000"
    transport:
      description: How it is attached, for example V(usb), V(sata), V(nvme), V(mmc) or V(virtio).
      type: str
      sample: usb
    size:
      description: The size in bytes.
      type: int
      sample: 500107862016
    logical_sector:
      description: The logical sector in bytes, the smallest unit that can be read or written.
      type: int
      sample: 512
    physical_sector:
      description: The physical sector in bytes.
      type: int
      sample: 4096
    read_only:
      description: Whether the kernel refuses to write to it.
      type: bool
    removable:
      description: Whether the medium can be taken out of the drive. Most USB disks say they are not removable.
      type: bool
    rotational:
      description: Whether the kernel takes it for a disk that spins.
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
      description: The file of a loop device.
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
          description: Where it starts on the disk, in bytes.
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
          description: The file system, or what else it is formatted as, for example V(crypto_LUKS).
          type: str
          sample: vfat
        label:
          description: The file system's label.
          type: str
        uuid:
          description: The file system's UUID.
          type: str
        mounts: &mounts
          description: Where it is mounted itself, subvolumes and bind mounts included.
          type: list
          elements: dict
          contains:
            mountpoint:
              description: The directory.
              type: str
              sample: /boot/efi
            root:
              description: The directory of the file system that is mounted there.
              type: str
              sample: /
            fstype:
              description: The file system as mounted.
              type: str
              sample: vfat
            read_only:
              description: Whether nothing can be written through this mount.
              type: bool
        swap: &swap
          description: Whether it is swapped to itself.
          type: bool
        holders: &holders
          description: The devices stacked on it, each with its own C(mounts), C(swap) and C(holders).
          type: list
          elements: dict
          contains:
            path:
              description: The device node.
              type: str
              sample: /dev/mapper/luks-system
            kind:
              description:
                - What it is, V(crypt), V(lvm), V(raid), V(mpath), V(bcache), V(loop) for a loop device whose file lies
                  on it or that is a range of it, V(partition) for a partition of such a device, or V(dm) for any other
                  mapping.
                - V(alias) is another device that has the same bytes, such as a second loop device over one file.
                - V(disk) is the partition's own disk, if the disk is in use as a whole.
              type: str
              sample: crypt
            mounts:
              description: Where it is mounted, as for a partition.
              type: list
              elements: dict
            swap:
              description: Whether it is swapped to.
              type: bool
            holders:
              description: What is stacked on it in turn.
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
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.blksync.backup.plugins.module_utils.ansible_adapter import run_core
from ansible_collections.blksync.backup.plugins.module_utils.blksync.discovery import as_dict, identifiers
from ansible_collections.blksync.backup.plugins.module_utils.blksync.discovery.observe import observe


def listed(module: AnsibleModule) -> dict[str, Any]:
    """The disks that were asked for, as exit_json takes them."""
    wanted = identifiers.parse_identifiers(module.params["disks"], "disks")
    machine = observe()
    disks = [identifiers.select(machine, identifier) for identifier in wanted] if wanted else machine.disks
    warnings = [warning for identifier in wanted for warning in identifier.warnings]
    return {"changed": False, "disks": [as_dict.disk_as_dict(disk) for disk in disks], "warnings": warnings}


def main() -> None:
    module = AnsibleModule(
        # raw: Ansible would turn a number into a string without a word, and 01234567 is octal in YAML.
        argument_spec={"disks": {"type": "raw"}},
        supports_check_mode=True,
    )
    run_core(module, listed)


if __name__ == "__main__":
    main()
