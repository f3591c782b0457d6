"""The apps of this machine as the rest of the agent sees them, and as commands do."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, Callable, Sequence

from edgesync_agent.cgroups import find_cgroups
from edgesync_agent.containers import Containers
from edgesync_agent.encryption import EncryptionKeys
from edgesync_agent.engine import find_engine
from edgesync_agent.host_processes import HostProcesses
from edgesync_agent.log_jobs import Sources
from edgesync_agent.policy import Policy
from edgesync_agent.releases import Releases
from edgesync_agent.runtimes import FindRuntime
from edgesync_agent.spec import CONTAINERS, NATIVE
from edgesync_agent.status import instance_name
from edgesync_agent.supervisor import Supervisor
from edgesync_agent.volumes import Volumes, memory_folder


def runtime_finders(home: Path, node_id: str) -> dict[str, FindRuntime]:
    """The runtimes for apps of each mode for the node of *home*."""
    return {
        CONTAINERS: lambda: Containers(find_engine(), node_id, home),
        NATIVE: lambda: HostProcesses(home / "processes", find_cgroups()),
    }


def open_supervisor(
    home: Path,
    node_id: str,
    note: Callable[[str], None],
    policy: Callable[[], Policy] = Policy,
    keys: EncryptionKeys | None = None,
) -> Supervisor:
    """The supervisor of the apps of the node of *home*, once it is started.

    What is sealed to *keys* is opened where apps mount it.
    """
    releases = Releases(home / "apps", node_id, keys)
    volumes = Volumes(releases, home / "volumes", memory_folder(home))
    finders = runtime_finders(home, node_id)
    return Supervisor(releases, volumes, finders, note, refuse=lambda app: policy().refusal(app))


class SupervisedApps:
    """The apps of a supervisor, as far as commands are about them (`commands.Apps`)."""

    def __init__(self, supervisor: Supervisor) -> None:
        self.supervisor = supervisor

    def logs(self, app: str) -> Sources:
        """The logs of its instances; LookupError if there is none."""
        found = self.supervisor.find(app)
        if found is None:
            raise LookupError(f"nothing of an app {app} runs here")
        runtime, instances = found
        return [(instance_name(one), partial(runtime.logs, one)) for one in instances]

    def restart(self, app: str) -> None:
        """Have it started again; LookupError if there is no such app."""
        if not self.supervisor.restart(app):
            raise LookupError(f"there is no app {app} here")

    def describe(self) -> dict[str, Any]:
        """The state of all apps."""
        return {
            "apps": self.supervisor.statuses(),
            "desired": self.supervisor.desired,
            "containerRuntime": self.supervisor.runtime_name(),
        }

    def secrets(self) -> Sequence[str]:
        """The values of the apps' secrets."""
        return self.supervisor.releases.secret_values()
