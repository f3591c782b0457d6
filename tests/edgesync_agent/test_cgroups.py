"""Limits by cgroup v2, on a directory that looks like the kernel's."""

import os
from pathlib import Path

import pytest

from edgesync_agent.cgroups import AGENT, APPS, Cgroups, find_cgroups


def proc_of(tmp_path: Path, group: str, controllers: str = "cpuset cpu io memory pids") -> Path:
    """A `/proc` of a process in *group* of a hierarchy below *tmp_path*."""
    own = tmp_path / "proc" / "self"
    own.mkdir(parents=True)
    (own / "cgroup").write_text(f"1:name=systemd:/x\n0::/{group}\n")
    mount = tmp_path / "cgroup"
    (own / "mounts").write_text(f"proc /proc proc rw 0 0\ncgroup2 {mount} cgroup2 rw 0 0\n")
    folder = mount / group
    folder.mkdir(parents=True)
    (folder / "cgroup.controllers").write_text(f"{controllers}\n")
    return tmp_path / "proc"


def test_in_its_own_unit_the_agent_moves_aside_and_makes_groups(tmp_path: Path) -> None:
    group = "system.slice/edgesync-agent.service"
    cgroups = find_cgroups(proc_of(tmp_path, group))
    assert cgroups is not None
    own = tmp_path / "cgroup" / group
    assert cgroups.folder == own / APPS
    assert (own / AGENT / "cgroup.procs").read_text() == str(os.getpid())
    for folder in (own, own / APPS):
        assert (folder / "cgroup.subtree_control").read_text() == "+cpu +memory"


def test_after_a_restart_it_stays_where_it_moved(tmp_path: Path) -> None:
    unit = "system.slice/edgesync-agent.service"
    cgroups = find_cgroups(proc_of(tmp_path, f"{unit}/{AGENT}"))
    assert cgroups is not None
    assert cgroups.folder == tmp_path / "cgroup" / unit / APPS


@pytest.mark.parametrize(
    ("group", "controllers"),
    [
        ("user.slice/session-1.scope", "cpu memory"),
        ("system.slice/edgesync-agent.service", "memory pids"),
        ("system.slice/edgesync-agent.service", ""),
    ],
)
def test_groups_of_something_else_are_left_alone(
    tmp_path: Path, group: str, controllers: str
) -> None:
    assert find_cgroups(proc_of(tmp_path, group, controllers)) is None
    assert [path.name for path in (tmp_path / "cgroup" / group).iterdir()] == ["cgroup.controllers"]


def test_without_cgroup_v2_there_are_none(tmp_path: Path) -> None:
    proc = proc_of(tmp_path, "")
    (proc / "self" / "mounts").write_text("cgroup /sys/fs/cgroup/cpu cgroup rw 0 0\n")
    assert find_cgroups(proc) is None
    (proc / "self" / "cgroup").write_text("4:memory:/\n")
    assert find_cgroups(proc) is None
    assert find_cgroups(tmp_path / "nothing") is None


def test_an_instance_has_its_limits_and_its_usage(tmp_path: Path) -> None:
    cgroups = Cgroups(tmp_path)
    assert cgroups.create("web", 1_500_000_000, 64 << 20) == tmp_path / "web" / "cgroup.procs"
    web = tmp_path / "web"
    assert (web / "cpu.max").read_text() == "150000 100000"
    assert (web / "memory.max").read_text() == str(64 << 20)
    assert (web / "memory.oom.group").read_text() == "1"
    cgroups.create("web", 0, 0)
    assert (web / "cpu.max").read_text() == "max 100000"
    assert (web / "memory.max").read_text() == "max"
    assert cgroups.usage("web") is None
    assert not cgroups.has_run_out_of_memory("web")
    (web / "memory.current").write_text("4096\n")
    (web / "cpu.stat").write_text("usage_usec 2500000\nuser_usec 1\n")
    (web / "memory.events").write_text("oom 1\noom_kill 2\n")
    assert cgroups.usage("web") == (2.5, 4096)
    assert cgroups.has_run_out_of_memory("web")
    cgroups.kill("web")
    assert (web / "cgroup.kill").read_text() == "1"
    cgroups.remove("gone")
