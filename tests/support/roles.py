# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a role of the collection on the machine of a Molecule scenario. Elsewhere, role_host.py has a host for it."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from tests.support.ansible import NAMESPACE, PlaybookRun, run_playbook
from tests.tooling.paths import BUILD


def ephemeral_dir() -> Path:
    """Return the directory where Molecule keeps what belongs to the scenario that runs."""
    return Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"])


def apply_role(role: str, tell: str = "", *, check: bool = False, **variables: Any) -> PlaybookRun:
    """Run a role with variables; a variable that it sets can be told in the result of the task "Tell"."""
    play = {
        "name": f"Apply the role {role}",
        "hosts": "workstation",
        "gather_facts": False,
        "roles": [f"{NAMESPACE}.{role}"],
        "post_tasks": [{"name": "Tell", "ansible.builtin.debug": {"msg": "{{ %s }}" % tell}}] if tell else [],
    }
    with tempfile.TemporaryDirectory(dir=BUILD, prefix="role-") as directory:
        playbook = Path(directory, "play.yml")
        playbook.write_text(json.dumps([play]))
        inventory = ephemeral_dir() / "inventory.yml"
        environment = {"ANSIBLE_PIPELINING": "true"}
        return run_playbook(playbook, variables, check=check, inventory=inventory, environment=environment)


def changed_tasks(run: PlaybookRun) -> list[str]:
    """Return the names of the tasks that changed something; AssertionError with the output of a run that failed."""
    assert run.returncode == 0, run.output
    return [task.task for task in run.tasks if task.result.get("changed")]
