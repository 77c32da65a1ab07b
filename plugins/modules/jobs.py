#!/usr/bin/python
# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: jobs
short_description: Write the files that make backups run by themselves
version_added: 0.1.0
description:
  - Writes for each job its job file, timer, service settings and udev rules, and removes those of other jobs if
    O(exclusive=true).
  - The role P(blksync.backup.backup_disk#role) uses this module, and then lets systemd and udev read the files. Use the
    role, unless you do this yourself.
  - Everything is checked before anything is changed, and all mistakes are reported together. Schedules are checked by
    C(systemd-analyze), if the managed host has it.
  - A job that was not made by this module is left alone.
requirements:
  - Python 3.8 or later, Linux and root on the managed host.
extends_documentation_fragment:
  - blksync.backup.attributes
  - blksync.backup.attributes.actiongroup_all
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details:
      - Shows each file that is written, changed or removed.
  idempotent:
    support: full
options:
  jobs:
    description:
      - The jobs, a list of dictionaries with the keys that the role P(blksync.backup.backup_disk#role) takes in
        C(backup_disk_jobs).
      - A key that is null or an empty text is the same as one that is not given.
    type: raw
  exclusive:
    description: Whether jobs that this module made before and that are not in O(jobs) are removed.
    type: bool
    default: false
  engine:
    description: The engine of jobs that name none.
    type: str
    choices: [auto, native, blocksync_fast]
    default: auto
  random_delay:
    description: The longest random delay of a scheduled run, as a time span of systemd.time(7).
    type: str
    default: 15min
  header:
    description: Text for the head of each file that can have comments, such as the value of C(ansible_managed).
    type: str
seealso:
  - module: blksync.backup.command
  - module: blksync.backup.disk_sync
author:
  - blksync.backup contributors (@blksync)
"""

EXAMPLES = r"""
- name: Write the files of one job, and leave other jobs alone
  blksync.backup.jobs:
    jobs:
      - name: travel
        source: "11111111"
        target: "22222222"
        schedule: weekly
        on_plug: true

- name: Show what would become of the jobs if there were no others
  blksync.backup.jobs:
    jobs: "{{ backup_disk_jobs }}"
    exclusive: true
  check_mode: true
  diff: true
"""

RETURN = r"""
timers:
  description: The names of jobs in O(jobs) that have a timer, which has to be enabled and started.
  returned: success
  type: list
  elements: str
  sample: [travel]
metrics:
  description: Whether any job on the host has a directory for metrics, so that C(blksync-status.timer) is needed.
  returned: success
  type: bool
  sample: false
removed:
  description:
    - The names of jobs that are removed. In check mode they are still there. That is the moment to stop their services.
  returned: success
  type: list
  elements: str
  sample: []
old_timers:
  description: The names of jobs of which a timer is removed, as RV(removed).
  returned: success
  type: list
  elements: str
  sample: []
systemd_behind:
  description: Whether systemd has to read its files again, because they were changed now, or because systemd says so.
  returned: success
  type: bool
  sample: true
udev_behind:
  description: Whether udev has to read its rules again, because they were changed now or RV(devices_behind) has any.
  returned: success
  type: bool
  sample: true
devices_behind:
  description: The block devices that have not been through the udev rules as they are now.
  returned: success
  type: list
  elements: str
  sample: [/dev/sda, /dev/sda1]
kind:
  description: The class of the error, for example V(invalid_request).
  returned: failure
  type: str
hint:
  description: What to do about the error.
  returned: failure
  type: str
problems:
  description: If RV(kind=invalid_request), all that is wrong with the jobs, a sentence or two for each mistake.
  returned: failure
  type: list
  elements: str
  sample: ['Job travel: max_age is "long"; give seconds, or a number with m, h, d or w behind it, such as 10d.']
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.blksync.backup.plugins.module_utils.ansible_adapter import (
    argument_spec,
    request_of,
    run_core,
)
from ansible_collections.blksync.backup.plugins.module_utils.blksync.scheduling import host


def configured(module: AnsibleModule) -> dict[str, Any]:
    """What was written and removed, as exit_json takes it."""
    outcome = host.run(request_of(host.JobsRequest, module))
    result: dict[str, Any] = {
        "changed": bool(outcome.changes),
        "timers": outcome.timers,
        "metrics": outcome.metrics,
        "removed": outcome.removed,
        "old_timers": outcome.old_timers,
        "systemd_behind": outcome.systemd_behind,
        "udev_behind": outcome.udev_behind,
        "devices_behind": outcome.devices_behind,
    }
    if module._diff:
        result["diff"] = [
            {
                "before_header": change.path if change.before is not None else "/dev/null",
                "after_header": change.path if change.after is not None else "/dev/null",
                "before": shown(change.before, change.link),
                "after": shown(change.after, change.link),
            }
            for change in outcome.changes
        ]
    return result


def shown(content: str | None, link: bool) -> str:
    """The content of a file, or where a link leads, in a diff."""
    return "" if content is None else "link to %s\n" % content if link else content


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(host.JobsRequest), supports_check_mode=True)
    run_core(module, configured)


if __name__ == "__main__":
    main()
