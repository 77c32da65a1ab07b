# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role blocksync_fast, with prebuilt programs and with a package from a repository of the test.

Other ways with packages are tried in a virtual machine: extensions/molecule/blocksync_fast.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.ansible import PlaybookRun
from tests.support.blocksync_program import standin
from tests.support.role_host import Host
from tests.support.roles import changed_tasks

pytestmark = pytest.mark.needs("root")

FILES = Path(__file__).parents[2] / "extensions/molecule/blocksync_fast/files"
INSTALLED = Path("/usr/local/bin/blocksync-fast")
CACHE = Path("/var/cache/blocksync-fast")


def program(host: Host, version: str = "1.07", misses_blocks: bool = True) -> Path:
    """A program for the role to install."""
    return host.write(f"standin-{version}", standin(version, misses_blocks))


def apply(host: Host, check: bool = False, options: Sequence[str] = (), **variables: Any) -> PlaybookRun:
    package = {"blocksync_fast_package": "standin-blocksync-fast-of-no-repository"}
    told = "blocksync_fast_info | default({})"
    return host.apply("blocksync_fast", check=check, tell=told, options=options, **{**package, **variables})


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def info(run: PlaybookRun) -> dict[str, Any]:
    found: dict[str, Any] = run.result("Tell")["msg"]
    return found


def from_url(program: Path, **more: Any) -> dict[str, Any]:
    return {"blocksync_fast_source": f"file://{program}", "blocksync_fast_sha256": sha256(program), **more}


def test_program_from_an_url_and_again_and_away(host: Host) -> None:
    wanted = from_url(program(host))
    assert changed_tasks(apply(host, check=True, **wanted))
    assert not INSTALLED.exists()
    assert not CACHE.exists()
    first = apply(host, **wanted)
    assert changed_tasks(first)
    assert info(first) == {"installed": True, "path": str(INSTALLED), "version": "1.07", "misses_changed_blocks": True}
    assert changed_tasks(apply(host, **wanted)) == []
    assert changed_tasks(apply(host, blocksync_fast_state="absent"))
    assert not INSTALLED.exists()
    assert not CACHE.exists()
    assert changed_tasks(apply(host, blocksync_fast_state="absent")) == []


@pytest.mark.full
def test_program_without_the_defect_from_the_controller(host: Host) -> None:
    run = apply(host, blocksync_fast_source=str(program(host, "1.08", misses_blocks=False)))
    assert changed_tasks(run)
    assert info(run)["misses_changed_blocks"] is False


@pytest.mark.full
def test_a_newer_program_takes_the_place_of_the_old_one(host: Host) -> None:
    apply(host, **from_url(program(host, "1.07")))
    run = apply(host, **from_url(program(host, "1.08")), blocksync_fast_version="1.0.8")
    assert changed_tasks(run)
    assert info(run)["version"] == "1.08"


@pytest.mark.parametrize("kind", ["url", pytest.param("controller", marks=pytest.mark.full)])
def test_wrong_checksum_installs_nothing(host: Host, kind: str) -> None:
    source = f"file://{program(host)}" if kind == "url" else str(program(host))
    run = apply(host, blocksync_fast_source=source, blocksync_fast_sha256=64 * "0")
    assert run.returncode != 0
    assert not INSTALLED.exists()
    assert list(CACHE.iterdir()) == []


@pytest.mark.full
def test_wrong_version_installs_nothing(host: Host) -> None:
    run = apply(host, **from_url(program(host, "1.08")), blocksync_fast_version="1.0.7")
    assert run.returncode != 0
    assert not INSTALLED.exists()


@pytest.mark.full
def test_program_that_does_not_start_is_not_installed(host: Host) -> None:
    broken = host.playbooks / "broken"
    broken.write_bytes(b"\x7fELF of another machine")
    run = apply(host, **from_url(broken))
    assert run.returncode != 0
    assert not INSTALLED.exists()
    assert "does not start on this host" in run.output
    assert changed_tasks(apply(host, **from_url(program(host))))


@pytest.mark.full
def test_program_that_does_not_copy_is_found_out(host: Host) -> None:
    idle = host.write("idle", "#!/bin/sh\necho blocksync-fast version 1.07, does nothing\n")
    run = apply(host, blocksync_fast_source=str(idle))
    assert run.returncode != 0
    assert "did not copy a changed block" in run.output


@pytest.mark.full
def test_one_that_is_there_already_is_good_enough(host: Host) -> None:
    INSTALLED.write_text(program(host).read_text())
    INSTALLED.chmod(0o755)
    run = apply(host, blocksync_fast_version="1.0.7")
    assert changed_tasks(run) == []
    assert info(run)["version"] == "1.07"


@pytest.mark.parametrize("native", [False, pytest.param(True, marks=pytest.mark.full)])
@pytest.mark.parametrize("version", [1.07, pytest.param("1.10", marks=pytest.mark.full)])
def test_a_number_is_a_version_with_any_jinja(host: Host, version: object, native: bool) -> None:
    host.write("ansible.cfg", f"[defaults]\njinja2_native = {native}\n")
    host.write(str(INSTALLED), program(host, str(version)).read_text(), 0o755)
    run = apply(host, blocksync_fast_version=version)
    assert changed_tasks(run) == []
    assert info(run)["version"] == str(version)


def test_null_is_the_default(host: Host) -> None:
    """ansible-core 2.18 has null refused by the argument spec, later ones let the role decide."""
    unset: dict[str, Any] = {
        f"blocksync_fast_{name}": None for name in ("package", "source", "sha256", "binary_path", "version")
    }
    host.write(str(INSTALLED), program(host).read_text(), 0o755)
    run = apply(host, **unset)
    if run.returncode:
        assert "'None' is not a string and conversion is not allowed" in run.output
    else:
        assert changed_tasks(run) == []


def test_what_is_omitted_has_its_default(host: Host) -> None:
    omitted = "{{ nowhere | default(omit) }}"
    texts = ("package", "sha256", "binary_path", "version")
    wanted: dict[str, Any] = {f"blocksync_fast_{name}": omitted for name in texts}
    assert changed_tasks(apply(host, **wanted, blocksync_fast_source=str(program(host))))
    assert host.exists(str(INSTALLED))


def without_repositories(host: Host) -> None:
    """Let apt know no repository."""
    for path in [Path("/etc/apt/sources.list"), *Path("/etc/apt/sources.list.d").glob("*")]:
        path.unlink(missing_ok=True)


@pytest.mark.needs("apt-get")
def test_a_program_that_is_not_required_may_be_missing(host: Host) -> None:
    without_repositories(host)
    run = apply(host, blocksync_fast_required="false")
    assert changed_tasks(run) == []
    assert info(run)["installed"] is False


@pytest.mark.needs("apt-get", "dpkg-deb", "gpg")
@pytest.mark.full
def test_a_run_that_failed_at_the_repository_can_be_repeated(host: Host) -> None:
    without_repositories(host)
    repository = Path("/var/lib/repository")  # which the user _apt can read
    subprocess.run([sys.executable, str(FILES / "build_repository.py"), str(repository)], check=True)
    host.write("group_vars/all.yml", 'ansible_managed: "Written\\nby Ansible"\n')
    wanted: dict[str, Any] = {
        "blocksync_fast_package": "standin-blocksync-fast",
        "blocksync_fast_version": "1.0.7",
        "blocksync_fast_apt_repository": {
            "uris": f"file:{repository}",
            "suites": "./",
            "components": "",
            "key": str(repository / "key.asc"),
            "key_sha256": sha256(repository / "key.asc").upper(),
        },
    }
    foreseen = apply(host, check=True, **wanted)
    assert changed_tasks(foreseen)
    assert host.tree("/etc/apt/keyrings", "/etc/apt/sources.list.d/blocksync-fast.sources") == []
    (repository / "InRelease").rename(repository / "later")
    (repository / "Release").rename(repository / "Later")
    assert apply(host, **wanted).returncode != 0
    source = host.read("/etc/apt/sources.list.d/blocksync-fast.sources").splitlines()
    fields = [line.partition(":")[0] for line in source if not line.startswith("#")]
    assert fields == ["Types", "URIs", "Suites", "Signed-By"]
    assert "/etc/apt/keyrings/blocksync-fast.asc" in foreseen.output
    assert f"URIs: file:{repository}" in foreseen.output
    (repository / "later").rename(repository / "InRelease")
    (repository / "Later").rename(repository / "Release")
    run = apply(host, **wanted)
    assert changed_tasks(run)
    assert info(run)["path"] == "/usr/bin/blocksync-fast"
    assert changed_tasks(apply(host, **wanted)) == []
    assert changed_tasks(apply(host, **wanted, blocksync_fast_state="absent"))
    assert host.tree("/usr", "/etc/apt/keyrings/", "/etc/apt/sources.list.d/blocksync-fast") == []


def test_check_mode_shows_every_file_on_a_fresh_host(host: Host) -> None:
    wanted = from_url(program(host))
    foreseen = apply(host, check=True, **wanted)
    assert host.tree() == []
    apply(host, **wanted)
    written = host.tree()
    assert str(INSTALLED) in written
    assert [path for path in written if path.rstrip("/") not in foreseen.output] == []


@pytest.mark.full
def test_removing_needs_none_of_the_other_variables(host: Host) -> None:
    apply(host, blocksync_fast_source=str(program(host)))
    wrong: dict[str, Any] = {
        "blocksync_fast_source": "https://example.invalid/x",
        "blocksync_fast_version": "none at all",
    }
    twice = {
        "name": "Remove it twice",
        "ansible.builtin.include_role": {"name": "blksync.backup.blocksync_fast"},
        "loop": [1, 2],
    }
    play = {"name": "Remove", "hosts": "workstation", "gather_facts": False, "tasks": [twice]}
    run = host.run([play], blocksync_fast_state="absent", **wrong)
    changed = [task.rpartition(" : ")[2] for task in changed_tasks(run)]  # some cores name the role too
    assert changed == ["Remove the program, the cache, the apt source and its key"]
    assert host.tree() == []
    assert "already in use" not in run.output


@pytest.mark.full
def test_looking_and_trying_changes_nothing(host: Host) -> None:
    wanted: dict[str, Any] = {"blocksync_fast_source": str(program(host))}
    before = host.apply("blocksync_fast", tasks_from="check", tell="blocksync_fast_info")
    assert info(before)["installed"] is False
    assert changed_tasks(apply(host, options=["--tags", "blocksync_fast_check"], **wanted)) == []
    assert changed_tasks(apply(host, options=["--tags", "blocksync_fast_install"], **wanted))
    after = host.apply("blocksync_fast", tasks_from="check", tell="blocksync_fast_info")
    assert changed_tasks(after) == []
    assert info(after)["misses_changed_blocks"] is True


REPOSITORY = {"uris": "https://example.invalid", "suites": "./", "key": "https://example.invalid/key"}


@pytest.mark.parametrize(
    ("variables", "complaints"),
    [
        (
            {
                "package": "-y",
                "version": '1.07"; touch /etc/wrong; "',
                "source": "https://example.invalid/x",
                "binary_path": "/usr/local/bin",
                "apt_repository": {**REPOSITORY, "uris": "https://example.invalid\nTrusted: yes"},
            },
            [
                'package="-y" is not the name of a package',
                "is not a version",
                "so blocksync_fast_sha256 must be",
                'binary_path="/usr/local/bin" is not one of the paths',
                "Trusted: yes",
                "so key_sha256 must be",
            ],
        ),
        (
            {"package": "-y", "binary_path": "/usr/local/bin", "state": "absent"},
            ["is not the name of a package", "is not one of the paths"],
        ),
        pytest.param(
            {"source": "directory/", "sha256": "abc", "apt_repository": "uris=x suites=y"},
            ["names no file", "is not a SHA-256", "is not a mapping"],
            marks=pytest.mark.full,
        ),
        *(
            pytest.param(variables, [complaint], marks=pytest.mark.full)
            for variables, complaint in (
                ({"method": "binary"}, "needs blocksync_fast_source"),
                ({"method": "file", "source": "x"}, "neither a .deb nor a .rpm"),
                ({"method": "binary", "source": "x.deb"}, "is a package"),
                ({"method": "source"}, "must be one of"),
                ({"apt_repository": {"uris": "x", "suites": "./", "key": None}}, "lacks key"),
            )
        ),
    ],
)
def test_everything_wrong_is_told_and_nothing_touched(
    host: Host, variables: dict[str, Any], complaints: list[str]
) -> None:
    run = apply(host, **{f"blocksync_fast_{name}": value for name, value in variables.items()})
    assert run.returncode != 0
    shown = " ".join(run.output.replace("\\", "").split())
    assert [complaint for complaint in complaints if complaint not in shown] == []
    assert host.tree() == []
