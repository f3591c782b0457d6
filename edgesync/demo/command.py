"""`edgesync demo`: the command."""

import contextlib
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.live import Live
from rich.table import Table

from edgesync.cli.output import in_line
from edgesync.cli.resources.manifests import Document
from edgesync.demo.api import DemoApi, Row
from edgesync.demo.machine import (
    Machine,
    engine_of_machine,
    fit_to_machine,
    installed_machine,
    real_apps,
)
from edgesync.demo.processes import BATCH, SN, SimulatedFleet, running_fleet, running_server
from edgesync.demo.resources import example_resources
from edgesync.demo.rollout import APP, CANARY, POLICY, break_app, govern, watch_return
from edgesync.demo.screen import fleet_table

API_PORT = 9004
CONVERGE_DEADLINE_SECONDS = 120
PULL_DEADLINE_SECONDS = 600
"""For this machine, which has to pull images first."""

CHANGED_LINE = ("max_queued_messages 1000", "max_queued_messages 5000")


class CannotRun(Exception):
    """The apps do not run on this machine; the text has the reason."""


@click.command()
@click.option("--nodes", "count", type=click.IntRange(1, 1000), default=5, show_default=True)
@click.option(
    "--simulated", is_flag=True, help="Simulate every node; do not use the container engine."
)
@click.option(
    "--broker",
    type=click.Choice(["embedded", "managed"]),
    default="embedded",
    show_default=True,
    help="What nodes connect to: the hub in the server, or a Mosquitto that the server starts.",
)
@click.option(
    "--exit-when-converged",
    is_flag=True,
    help="Exit with 0 once every node runs the second version, 1 if that takes too long.",
)
@click.option(
    "--rollout",
    "with_rollout",
    is_flag=True,
    help="Then roll out a version that fails: it is stopped at the canary and taken back. Exit with"
    " 0 once every node runs its previous version again.",
)
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    help="Data directory.  [default: a temporary one]",
)
@click.option("--svg", type=click.Path(path_type=Path), help="Save the terminal view as a picture.")
@click.option(
    "--api-port",
    type=int,
    help=f"Port of the REST API and the dashboard.  [default: {API_PORT} if free, else any]",
)
def demo(
    *,
    count: int,
    simulated: bool,
    broker: str,
    exit_when_converged: bool,
    with_rollout: bool,
    data_dir: Path | None,
    api_port: int | None,
    svg: Path | None,
) -> None:
    """Start a server and nodes, deploy two apps, change one, watch them converge.

    Where Docker or Podman answers, one node is this machine and runs its apps as containers; they
    are removed at the end. All other nodes are simulated: they run nothing.
    """
    console = Console(record=svg is not None, width=90 if svg else None)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # end what was started, too
    with contextlib.ExitStack() as stack:
        if data_dir is None:
            data_dir = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="edgesync-")))
        data_dir.mkdir(parents=True, exist_ok=True)
        resources = example_resources("mosquitto", "telegraf")
        engine = "" if simulated else engine_of_machine(data_dir)
        if engine:
            fit_to_machine(resources)
        _announce(console, engine, resources, count, simulated=simulated)
        port = _free_api_port() if api_port is None else api_port
        ready = stack.enter_context(running_server(data_dir, port, broker))
        api = DemoApi(ready)
        stack.callback(api.close)
        console.print(f"[bold]edgesync[/] serves {api.url}, data in {data_dir}")
        if broker == "managed":
            console.print("Nodes connect to a Mosquitto that the server runs.")
        token = _describe_fleet(api, count, resources)
        machine = _join(console, api, data_dir, stack) if engine else None
        others = max(count - 1 if machine else count, 1)
        running = stack.enter_context(contextlib.ExitStack())

        def start_fleet(*faults: str) -> SimulatedFleet:
            running.close()
            return running.enter_context(running_fleet(ready, data_dir, others, token, faults))

        show = _Show(api, console, start_fleet(), others, machine)
        show.first_version()
        config = next(one for one in resources if one.name == "mosquitto-conf")
        _change(config)
        api.put(config)
        console.print(
            f"Changed config [bold]{config.name}[/]: {CHANGED_LINE[0]} -> {CHANGED_LINE[1]}"
        )
        show.converge("second version")
        console.print(f"[green]All {show.count} nodes run the second version.[/]")
        if with_rollout:
            _second_act(console, api, show, start_fleet)
        if svg is not None:
            console.save_svg(str(svg), title="make demo")
        if not (exit_when_converged or with_rollout):
            _keep_serving(console, ready, show)


def _second_act(
    console: Console, api: DemoApi, show: "_Show", start_fleet: Callable[..., SimulatedFleet]
) -> None:
    """Roll out a version that fails, until every node runs what it ran before."""
    version = govern(api)
    show.fleet = start_fleet("--fail", f"{APP}@{version}:100%")
    show.converge("before the rollout")
    console.print(
        f"Policy [bold]{POLICY}[/]: {APP} goes to {CANARY} first. Its next version fails on every"
        " simulated node."
    )
    break_app(api, version)
    rollout = watch_return(api, console)
    show.converge("after the rollout")
    console.print(
        f"[green]Version {version} was stopped at the canary ({in_line(rollout['cause'])}), and all"
        f" {show.count} nodes run version {rollout['base']}.[/]"
    )


def _announce(
    console: Console, engine: str, resources: Sequence[Document], count: int, *, simulated: bool
) -> None:
    """Print, before anything is started, what will run on this machine."""
    if not engine:
        why = "" if simulated else " (no Docker or Podman answers here)"
        console.print(f"{count} simulated nodes{why}: no app runs on this machine.")
        return
    console.print(
        f"{engine}: this machine becomes a node and runs, until the demo ends:", highlight=False
    )
    for line in real_apps(resources):
        console.print(f"  {line}", highlight=False)
    console.print("With --simulated the engine is left alone. All other nodes are simulated.")


def _free_api_port() -> int:
    """The default port if it is free, else 0: any."""
    with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", API_PORT)):
        return API_PORT
    return 0


def _describe_fleet(api: DemoApi, count: int, resources: Sequence[Document]) -> str:
    """Make the batch and the two apps; the batch's token."""
    if any(batch["name"] == BATCH for batch in api.call("GET", "/v1/register")["items"]):
        batch = api.call("GET", f"/v1/register/{BATCH}")
    else:
        batch = api.call(
            "POST",
            "/v1/register",
            {
                "name": BATCH,
                "description": "Simulated nodes of the demo",
                "enableWhitelist": 0,
                "quotaNum": max(200, count),
                "labels": {"role": "gateway"},
                "fingerprint": {"type": SN},
            },
        )
    for resource in resources:
        api.put(resource)
    return str(batch["securityKey"])


def _join(
    console: Console, api: DemoApi, data_dir: Path, stack: contextlib.ExitStack
) -> Machine | None:
    """Make this machine a node, by the line that an operator pastes; None where that fails."""
    own = contextlib.ExitStack()
    try:
        machine = own.enter_context(installed_machine(api, data_dir))
    except OSError as error:
        console.print(f"This machine cannot become a node, so every node is simulated: {error}")
        return None
    stack.push(own)
    console.print(f"This machine is node [bold]{machine.name}[/], by the install line.")
    return machine


def _change(config: Document) -> None:
    for item in config.body["data"]:
        item["value"]["value"] = item["value"]["value"].replace(*CHANGED_LINE)


class _Show:
    """Shows the fleet: *simulated* nodes of *fleet*, and this *machine* if it is one."""

    def __init__(
        self,
        api: DemoApi,
        console: Console,
        fleet: SimulatedFleet,
        simulated: int,
        machine: Machine | None,
    ) -> None:
        self.api = api
        self.console = console
        self.fleet = fleet
        self.simulated = simulated
        self.machine = machine

    @property
    def count(self) -> int:
        """Nodes in all."""
        return self.simulated + (1 if self.machine else 0)

    def first_version(self) -> None:
        """Converge for the first time; without this machine where images cannot be pulled."""
        try:
            self.converge("first version")
        except CannotRun as error:
            machine, self.machine = self.machine, None
            assert machine is not None  # noqa: S101
            self.console.print(
                f"This machine cannot run the apps; the demo goes on with simulated nodes: {error}",
                highlight=False,
            )
            self.api.call("DELETE", f"/v1/nodes/{machine.name}")
            self.converge("first version")

    def converge(self, what: str) -> None:
        """Show the fleet until every node runs what it should; ClickException if it takes long."""
        started = time.monotonic()
        limit = PULL_DEADLINE_SECONDS if self.machine else CONVERGE_DEADLINE_SECONDS
        rows: Sequence[Row] = ()
        title = ""
        is_live = self.console.is_terminal
        with Live(console=self.console, auto_refresh=False, transient=not is_live) as live:
            while True:
                self.fleet.check()
                rows = self.api.rows()
                nodes = {row.node for row in rows}
                converged = nodes - {row.node for row in rows if not row.is_converged}
                seconds = time.monotonic() - started
                title = f"{what}: {len(converged)} of {self.count} nodes converged, {seconds:.1f} s"
                live.update(self._table(title, rows), refresh=True)
                if len(converged) >= self.count:
                    break
                if self.machine and (why := self.machine.failure(self.api)):
                    raise CannotRun(why)
                if seconds > limit:
                    raise click.ClickException(f"not converged after {seconds:.0f} s")
                time.sleep(0.3)
        if not is_live:
            self.console.print(self._table(title, rows))

    def _table(self, title: str, rows: Sequence[Row]) -> Table:
        return fleet_table(title, rows, self.machine.name if self.machine else "")


def _keep_serving(console: Console, ready: dict[str, str], show: _Show) -> None:
    token_file = Path(ready["admin_token_file"])
    token = token_file.read_text(encoding="ascii").strip()
    url = ready["api"]
    for line in (
        f"Dashboard  {url}/",
        f"           sign in with the token {token}",
        f"Shell      edgesync login {url} --token-file {token_file}",
        "           edgesync get nodes -o wide",
        *(["Containers docker ps, or podman ps"] if show.machine else []),
    ):
        console.print(line, soft_wrap=True, highlight=False, markup=False)
    console.print("The server keeps running; stop it with Ctrl-C.", style="bold")
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            show.fleet.check()
            time.sleep(1)
    console.print("Stopping and cleaning up.")
