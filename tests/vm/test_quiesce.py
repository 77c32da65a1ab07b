# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The running root frozen where systemd is: the guardian's own scope, the system log, a killed service, a shutdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .scene import Scene
from .workstation import DEPLOYED, Workstation

if TYPE_CHECKING:
    from .machines import Machines

SCENE = Scene()
MESSAGES = 3000  # the queue of /dev/log holds some 277
HOLD = f"""
import sys, time
sys.path.insert(0, "{DEPLOYED}")
from blksync.discovery.observe import observe
from blksync.quiesce.client import Quiescer
from blksync.quiesce.plan import QuiescePlan; from blksync.quiesce.plan import steps_for

machine = observe()
(disk,) = (disk for disk in machine.disks if disk.ptuuid == sys.argv[1])
plans = [steps_for(machine, partition, "auto") for partition in disk.partitions[:2]]
both = QuiescePlan(steps=plans[0].steps + plans[1].steps)
with Quiescer(600, "a test") as quiescer:
    quiescer.prepare([both])
    assert not quiescer.notes, quiescer.notes
    with quiescer.quiesced(both):
        with open("/run/quiesced", "w") as file:
            print(quiescer._link._process["pid"], file=file)
        time.sleep(600)
"""


@pytest.fixture
def system(machines: Machines) -> Workstation:
    """A running system with the core deployed."""
    system = Workstation(machines.running(SCENE), SCENE)
    system.deploy_core()
    system.ssh.run("cat > /run/hold.py", input=HOLD)
    return system


def quiesce(system: Workstation) -> int:
    """Start it; the guardian's process number."""
    # The unit file and the log of the service lie in /run: it must not wait for the root that it freezes.
    system.ssh.run(
        f"systemd-run --quiet --unit=copying --property=StandardError=file:/run/log.txt "
        f"python3 /run/hold.py {system.scene.main_id}"
    )
    system.ssh.run(
        "until [ -s /run/quiesced ]; do systemctl -q is-active copying || exit 1; sleep 0.1; done; cat /run/log.txt"
    )
    frozen = system.ssh.attempt("fsfreeze --freeze /")
    assert "busy" in frozen.stderr
    assert system.ssh.attempt("findmnt /boot/efi").returncode
    return int(system.ssh.run("cat /run/quiesced"))


@pytest.mark.timeout(600)
def test_the_guardian_outlives_the_service_and_the_log_loses_nothing(system: Workstation) -> None:
    mounts = system.mounts()
    guardian = quiesce(system)
    scope = f"blksync-guardian-{guardian}.scope"
    assert f"/system.slice/{scope}" in system.ssh.run(f"cat /proc/{guardian}/cgroup")
    system.ssh.run(f"seq {MESSAGES} | logger --tag while-frozen", timeout=60)
    system.ssh.run("systemctl kill --signal=KILL copying.service")
    system.ssh.run("timeout 5 sh -c 'until findmnt /boot/efi; do sleep 0.1; done'")
    assert system.mounts() == mounts
    system.check_writable("/", "/boot/efi")
    system.ssh.run(f"timeout 30 sh -c 'while systemctl -q is-active {scope}; do sleep 0.1; done'")
    system.ssh.run("journalctl --sync")
    lines = system.ssh.run("journalctl --directory=/var/log/journal --output=cat --identifier=while-frozen").split()
    assert lines == [str(number) for number in range(1, MESSAGES + 1)]
    assert "uncleanly" not in system.ssh.run("journalctl --boot --unit=systemd-journald.service")


@pytest.mark.timeout(600)
def test_a_shutdown_thaws_before_it_unmounts(system: Workstation) -> None:
    quiesce(system)
    system.machine.shut_down()
    assert "Failed unmounting" not in system.machine.console_text()
