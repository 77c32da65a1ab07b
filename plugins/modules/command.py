#!/usr/bin/python
# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: command
short_description: Install the blksync command on the managed host
version_added: 0.1.0
description:
  - Installs the command C(blksync), which runs the same code as the modules of this collection, or removes it.
  - The role P(blksync.backup.backup_disk#role) uses this module. Use the module itself to install the command without
    jobs.
  - Each version of the code lies in a directory of its own. The launcher is replaced last and in one step, so a
    C(blksync) that starts at the same moment runs either the old version or the new one. The old version is removed
    unless a C(blksync) is running, in which case the next run of this module removes it.
  - Files that were altered are repaired, and files that do not belong to the command are removed from O(library_dir).
requirements:
  - Python 3.8 or later, Linux and root on the managed host.
  - Python 3.9 or later on the managed host, if the controller has ansible-core 2.20 or later.
extends_documentation_fragment:
  - blksync.backup.attributes
  - blksync.backup.attributes.actiongroup_all
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details:
      - Lists each file and directory that changes, with its mode, owner, group and checksum.
  idempotent:
    support: full
options:
  state:
    description: V(present) installs the command, V(absent) removes O(path) and O(library_dir).
    type: str
    choices: [present, absent]
    default: present
  path:
    description: The command itself, a small script that starts the code in O(library_dir).
    type: path
    default: /usr/local/bin/blksync
  library_dir:
    description:
      - The directory of the code. Its last part must be C(blksync), because everything else in this directory is
        removed.
      - Its parent directory must exist.
    type: path
    default: /usr/local/lib/blksync
  python:
    description: The Python that runs the command. Only its standard library is used.
    type: path
    default: /usr/bin/python3
seealso:
  - module: blksync.backup.disk_sync
author:
  - blksync.backup contributors (@blksync)
"""

EXAMPLES = r"""
- name: Install the command blksync
  blksync.backup.command:

- name: Remove the command blksync
  blksync.backup.command:
    state: absent
"""

RETURN = r"""
version:
  description: The version of the collection, which the command then has.
  returned: success
  type: str
  sample: 0.1.0
directory:
  description: The directory of the installed version, empty with O(state=absent).
  returned: success
  type: str
  sample: /usr/local/lib/blksync/0.1.0-5f2d9c41b7e0
kind:
  description: The class of the error, for example V(invalid_request).
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
from ansible_collections.blksync.backup.plugins.module_utils import blksync
from ansible_collections.blksync.backup.plugins.module_utils.ansible_adapter import (
    argument_spec,
    request_of,
    run_core,
)
from ansible_collections.blksync.backup.plugins.module_utils.blksync import cli
from ansible_collections.blksync.backup.plugins.module_utils.blksync.deltas import apply, create
from ansible_collections.blksync.backup.plugins.module_utils.blksync.install import command, sources
from ansible_collections.blksync.backup.plugins.module_utils.blksync.report import metrics
from ansible_collections.blksync.backup.plugins.module_utils.blksync.scheduling import host

# Ansible sends to the host what a module imports, and this module installs what was sent: these import all the rest.
SENT = (cli, apply, create, metrics, host)


def installed(module: AnsibleModule) -> dict[str, Any]:
    """What was installed or removed, as exit_json takes it."""
    done = command.run(request_of(command.InstallRequest, module), sources.read(blksync), blksync.__version__)
    result: dict[str, Any] = {
        "changed": bool(done.differences),
        "version": blksync.__version__,
        "directory": done.directory,
    }
    if module._diff:
        before = "".join("%s: %s\n" % (each.path, each.before) for each in done.differences if each.before)
        after = "".join("%s: %s\n" % (each.path, each.after) for each in done.differences if each.after)
        result["diff"] = {"before": before, "after": after}
    return result


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(command.InstallRequest), supports_check_mode=True)
    run_core(module, installed)


if __name__ == "__main__":
    main()
