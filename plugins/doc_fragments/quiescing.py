# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    # disk_sync has more values of quiesce, and documents them itself.
    DOCUMENTATION = r"""
options:
  quiesce:
    description:
      - How a source that is in use is kept from changing while it is copied.
      - V(freeze) freezes its file systems and unmounts those that cannot be frozen (an ESP, for example).
        They are thawed and mounted again as soon as the source has been read.
      - V(none) refuses a source that is mounted read-write.
      - V(auto) is V(freeze) if something is mounted read-write. Otherwise nothing is frozen or unmounted.
    type: str
    choices: [auto, freeze, none]
    default: auto
  quiesce_timeout:
    description:
      - The longest time in seconds for which sources may be frozen or unmounted, as one limit for all sources of the
        task together. After this time everything is put back and the task fails, because the copy is then inconsistent.
        The largest value is 604800, a week.
      - A first copy writes everything. At 100 MB/s the default is enough for 360 GB. For a larger disk set a longer
        time, or make the first copy while the source is not in use. The same holds with a small O(rate_limit).
    type: int
    default: 3600
"""
