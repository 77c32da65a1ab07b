# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  source:
    description:
      - The main disk, which is read. The notes say how to name a disk.
    type: raw
    required: true
  target:
    description:
      - The backup disk, which is written. The notes say how to name a disk.
    type: raw
    required: true
notes:
  - A disk is named by its PTUUID, which is the identifier of its partition table (C(11111111) or C(0x11111111) for MBR,
    a GUID for GPT); by a link C(/dev/disk/by-id/...) or C(/dev/disk/by-path/...), or another link in C(/dev);
    by its serial number as C(serial:...); or by its WWN as C(wwn:...).
    M(blksync.backup.disk_info) lists them all.
  - An identifier that matches no disk, or several, is an error that lists the candidates.
  - "A PTUUID is text and must be quoted in YAML: without quotes C(01234567) is the octal number 342391, and
    C(0x11111111) is a number as well. A number is refused. INI inventories and C(jinja2_native) take quotes away:
    C(ptuuid:11111111) is text everywhere."
  - A bare kernel name (C(/dev/sda)) works with a warning, because after a restart it may belong to another disk.
"""
