"""An agent without a connection, for tests: in their process, or in one of its own to be killed."""

import threading
from collections.abc import Callable
from pathlib import Path

from edgesync_agent.containers import Containers
from edgesync_agent.engine import Engine
from edgesync_agent.releases import Releases
from edgesync_agent.spec import CONTAINERS
from edgesync_agent.supervisor import Supervisor
from edgesync_agent.volumes import Volumes

NODE = "default.supervised"
"""No other module has it: Podmans of root share the names of networks, and who is on each."""


def supervisor_of(
    engine: Engine, home: Path, note: Callable[[str], None], node: str = NODE
) -> Supervisor:
    """What runs apps by *engine*, with short waits; *home* is its disk."""
    releases = Releases(home / "apps")
    volumes = Volumes(releases, home / "volumes", home / "memory")

    def containers() -> Containers:
        return Containers(engine, node, home, stop_seconds=1)

    return Supervisor(releases, volumes, {CONTAINERS: containers}, note, settle=0.5, interval=0.5)


def run(path: str, home: str, node: str) -> None:
    """Be an agent until killed: with the engine at the socket *path*."""
    supervisor_of(Engine(path), Path(home), lambda line: None, node).start()
    threading.Event().wait(600)  # killed long before
