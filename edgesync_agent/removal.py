"""`uninstall`: ends and removes all that this agent has made on the machine, and then itself."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Iterator, Mapping, Sequence

from edgesync_agent.runtime import AppFiles, Remove, RuntimeFailure
from edgesync_agent.runtimes import FindRuntime
from edgesync_agent.spec import AppDefinition

UNIT = "edgesync-agent.service"
PACKAGED = Path("/usr/lib/systemd/system")
"""Where a package of the system has its unit."""

SYSTEMCTL_SECONDS = 60


class _NoFiles:
    """Files for steps that need none."""

    def path(self, app: AppDefinition, volume: str, stage: str) -> str:
        """There is none."""
        raise LookupError(volume)

    def credentials(self, app: AppDefinition) -> Sequence[Mapping[str, str]]:
        """There are none."""
        return ()


def remove_apps(finders: Mapping[str, FindRuntime]) -> Iterator[str]:
    """Remove everything that bears this node's mark in each runtime; a line for each."""
    files: AppFiles = _NoFiles()
    for find in finders.values():
        try:
            runtime = find()
            instances = runtime.observe()
        except RuntimeFailure as error:
            yield f"not looked at: {error}"
            continue
        for instance in instances:
            try:
                runtime.carry_out(Remove(instance), None, files)
                yield f"removed {instance.slot.app}/{instance.slot.service}"
            except RuntimeFailure as error:
                yield f"cannot remove {instance.key}: {error}"
        for app in sorted({instance.slot.app for instance in instances}):
            try:
                runtime.forget(app)
            except RuntimeFailure as error:
                yield f"cannot remove what is left of {app}: {error}"
        try:
            runtime.prune(())
        except RuntimeFailure as error:
            yield f"cannot remove what was fetched: {error}"


def remove_unit(home: Path) -> Iterator[str]:
    """Stop and remove the unit of systemd that starts the agent of *home*, if there is one.

    That of a package is stopped and disabled.
    """
    config = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    places = (
        ("--system", Path("/etc/systemd/system")),
        ("--system", PACKAGED),
        ("--user", config / "systemd" / "user"),
    )
    for scope, folder in places:
        unit = folder / UNIT
        if not unit.is_file() or f"--home {home}\n" not in unit.read_text():
            continue
        _systemctl(scope, "disable", "--now", UNIT)
        if folder == PACKAGED:
            yield f"disabled the unit {unit}"
            continue
        unit.unlink()
        _systemctl(scope, "daemon-reload")
        yield f"removed the unit {unit}"


def remove_home(home: Path, extra: Sequence[Path]) -> Iterator[str]:
    """Remove the agent's directory, and *extra* ones."""
    for folder in (*extra, home):
        if folder.exists():
            shutil.rmtree(folder)
            yield f"removed {folder}"


def _systemctl(*arguments: str) -> None:
    try:
        subprocess.run(
            ["systemctl", *arguments],  # noqa: S607
            check=False,
            timeout=SYSTEMCTL_SECONDS,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return
