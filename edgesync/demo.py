"""`edgesync demo`: a server and a fleet on this machine, and a change that reaches every node.

Everything goes the way an operator and a device would go: the server is a process of its own, the
nodes another; resources are made over REST, watched over REST.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import httpx
from rich.console import Console
from rich.live import Live
from rich.table import Table

from edgesync.manifests import Document
from edgesync.resources import example_resources

BATCH = "demo"
START_DEADLINE_SECONDS = 30
CONVERGE_DEADLINE_SECONDS = 120
CHANGED_LINE = ("max_queued_messages 1000", "max_queued_messages 5000")
SHOWN_NODES = 20
SN, MACHINEID = 1, 32


@dataclass(frozen=True, slots=True)
class Row:
    """One app on one node, as the API shows it."""

    node: str
    ready: bool
    app: str
    wanted: str
    running: str
    status: str

    @property
    def is_converged(self) -> bool:
        """Say whether the node runs what it should."""
        return self.ready and self.running == self.wanted and self.status == "Running"


class Api:
    """The REST API, as a script would use it."""

    def __init__(self, ready: dict[str, str]) -> None:
        token = Path(ready["admin_token_file"]).read_text(encoding="ascii").strip()
        self.url = ready["api"]
        self._client = httpx.Client(
            base_url=self.url, headers={"Authorization": f"Bearer {token}"}, timeout=30
        )

    def close(self) -> None:
        """Close its connections."""
        self._client.close()

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Answer of one call; ClickException with the server's own words if it refuses."""
        answer = self._client.request(method, path, json=body)
        if answer.is_success:
            return answer.json()
        raise click.ClickException(f"{method} {path}: {answer.json().get('message', answer.text)}")

    def put(self, resource: Document) -> None:
        """Create or replace *resource*."""
        names = [item["name"] for item in self.call("GET", resource.kind.path)["items"]]
        if resource.name in names:
            self.call("PUT", resource.url, resource.body)
        else:
            self.call("POST", resource.kind.path, resource.body)

    def rows(self) -> list[Row]:
        """Every app on every node, wanted and running."""
        versions = {app["name"]: app["version"] for app in self.call("GET", "/v1/apps")["items"]}
        rows = []
        for node in self.call("GET", "/v1/nodes")["items"]:
            wanted = [
                app["name"] for app in self.call("GET", f"/v1/nodes/{node['name']}/apps")["items"]
            ]
            stats = self.call("GET", f"/v1/nodes/{node['name']}/stats")
            running = {app["name"]: app for app in stats.get("report", {}).get("appstats") or ()}
            for name in wanted:
                app = running.get(name, {})
                rows.append(
                    Row(
                        node["name"],
                        node["ready"],
                        name,
                        versions[name],
                        app.get("version", "-"),
                        app.get("status", "-"),
                    )
                )
        return sorted(rows, key=lambda row: (row.node, row.app))


@click.command()
@click.option("--nodes", "count", type=click.IntRange(1, 1000), default=5, show_default=True)
@click.option(
    "--exit-when-converged",
    is_flag=True,
    help="End with 0 once every node runs the second version, with 1 after two minutes.",
)
@click.option("--data-dir", type=click.Path(path_type=Path), help="Keep the data here.")
@click.option("--svg", type=click.Path(path_type=Path), help="Save the terminal view as a picture.")
@click.option("--api-port", type=int, default=0, help="Port of the REST API; 0 takes a free one.")
def demo(
    *,
    count: int,
    exit_when_converged: bool,
    data_dir: Path | None,
    api_port: int,
    svg: Path | None,
) -> None:
    """Start a server and simulated nodes, deploy two apps, change one, watch them converge."""
    console = Console(record=svg is not None, width=90 if svg else None)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # end what was started, too
    with contextlib.ExitStack() as stack:
        if data_dir is None:
            data_dir = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="edgesync-")))
        data_dir.mkdir(parents=True, exist_ok=True)
        ready = stack.enter_context(_server(data_dir, api_port))
        api = Api(ready)
        console.print(f"[bold]edgesync[/] serves {api.url}, data in {data_dir}")
        token = _describe_fleet(api, count)
        fleet = stack.enter_context(_fleet(ready, data_dir, count, token))
        _converge(api, console, fleet, count, "first version")
        config = example_resources("mosquitto")[0]
        _change(config)
        api.put(config)
        console.print(
            f"Changed config [bold]{config.name}[/]: {CHANGED_LINE[0]} -> {CHANGED_LINE[1]}"
        )
        _converge(api, console, fleet, count, "second version")
        console.print(f"[green]All {count} nodes run the second version.[/]")
        if svg is not None:
            console.save_svg(str(svg), title="make demo")
        if not exit_when_converged:
            _keep_serving(console, api, ready, fleet)


def _describe_fleet(api: Api, count: int) -> str:
    """Make the batch, its records and the two apps; the batch's token."""
    if any(batch["name"] == BATCH for batch in api.call("GET", "/v1/register")["items"]):
        batch = api.call("GET", f"/v1/register/{BATCH}")
    else:
        batch = api.call(
            "POST",
            "/v1/register",
            {
                "name": BATCH,
                "description": "Nodes of the demo",
                "enableWhitelist": 0,
                "quotaNum": max(200, count),
                "labels": {"role": "gateway"},
                "fingerprint": {"type": MACHINEID if _has_machine_id() else SN},
            },
        )
    for resource in example_resources("mosquitto", "telegraf"):
        api.put(resource)
    return str(batch["securityKey"])


def _has_machine_id() -> bool:
    """Say whether one node can be this machine itself, by its true fingerprint."""
    file = Path("/etc/machine-id")
    return file.exists() and bool(file.read_text(encoding="ascii").strip())


def _change(config: Document) -> None:
    for item in config.body["data"]:
        item["value"]["value"] = item["value"]["value"].replace(*CHANGED_LINE)


@contextlib.contextmanager
def _process(arguments: Sequence[str], environment: dict[str, str], log: Path) -> Iterator[Any]:
    """Run `edgesync` with *arguments* in a process of its own, ended politely."""
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "edgesync", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, **environment},
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=12)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def _server(data_dir: Path, api_port: int) -> Iterator[dict[str, str]]:
    ready_file, log = data_dir / "ready.json", data_dir / "server.log"
    ready_file.unlink(missing_ok=True)
    arguments = ["serve", "--data-dir", str(data_dir), "--api-port", str(api_port)]
    arguments += [
        "--activation-port",
        "0",
        "--mqtt-port",
        "0",
        "--sync-port",
        "0",
        "--ready-file",
        str(ready_file),
    ]
    with _process(arguments, {}, log) as process:
        deadline = time.monotonic() + START_DEADLINE_SECONDS
        while not ready_file.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise click.ClickException(f"the server did not start:\n{_tail(log)}")
            time.sleep(0.05)
        yield json.loads(ready_file.read_text(encoding="utf-8"))


@contextlib.contextmanager
def _fleet(ready: dict[str, str], data_dir: Path, count: int, token: str) -> Iterator["_Fleet"]:
    arguments = ["sim", "--count", str(count), "--batch", BATCH]
    arguments += ["--activation", ready["activation"], "--ca", ready["ca"]]
    arguments += ["--mqtt", ready["mqtt"].partition("://")[2]]
    arguments += ["--state-dir", str(data_dir / "nodes"), "--interval", "5", "--apply-delay", "1"]
    if _has_machine_id():
        arguments += ["--host-node", "--fingerprint-type", str(MACHINEID)]
    with _process(arguments, {"EDGESYNC_SIM_TOKEN": token}, data_dir / "fleet.log") as process:
        yield _Fleet(process, data_dir / "fleet.log")


@dataclass(frozen=True, slots=True)
class _Fleet:
    process: subprocess.Popen[bytes]
    log: Path

    def check(self) -> None:
        """ClickException with its last words if the fleet is gone."""
        if self.process.poll() is not None:
            raise click.ClickException(f"the simulated fleet ended:\n{_tail(self.log)}")


def _converge(api: Api, console: Console, fleet: _Fleet, count: int, what: str) -> None:
    """Show the fleet until every node runs what it should; exit code 1 if it takes too long."""
    started = time.monotonic()
    with Live(console=console, auto_refresh=False, transient=not console.is_terminal) as live:
        while True:
            fleet.check()
            rows = api.rows()
            converged = {row.node for row in rows} - {r.node for r in rows if not r.is_converged}
            seconds = time.monotonic() - started
            title = f"{what}: {len(converged)} of {count} nodes converged, {seconds:.1f} s"
            live.update(_table(title, rows), refresh=True)
            if len(converged) >= count:
                break
            if seconds > CONVERGE_DEADLINE_SECONDS:
                raise click.ClickException(f"not converged after {seconds:.0f} s")
            time.sleep(0.3)
    if not console.is_terminal:
        console.print(_table(title, rows))


def _table(title: str, rows: Sequence[Row]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column("node", no_wrap=True, max_width=20)
    for heading in ("ready", "app", "wanted", "running", "status"):
        table.add_column(heading, no_wrap=True)
    last = ""
    shown = sorted({row.node for row in rows})[:SHOWN_NODES]
    for row in rows:
        if row.node not in shown:
            continue
        colour = "green" if row.is_converged else "yellow"
        name, ready = (row.node, "yes" if row.ready else "no") if row.node != last else ("", "")
        table.add_row(
            name,
            ready,
            row.app,
            row.wanted,
            f"[{colour}]{row.running}[/]",
            f"[{colour}]{row.status}[/]",
        )
        last = row.node
    more = len({row.node for row in rows}) - len(shown)
    if more > 0:
        table.add_row(f"... and {more} more nodes")
    return table


def _keep_serving(console: Console, api: Api, ready: dict[str, str], fleet: _Fleet) -> None:
    token_file = ready["admin_token_file"]
    console.print("Still serving; end with Ctrl-C. Try:", style="bold")
    header = f'-H "Authorization: Bearer $(cat {token_file})"'
    console.print(f"  curl {header} {api.url}/v1/nodes", soft_wrap=True, highlight=False)
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            fleet.check()
            time.sleep(1)
    console.print("Stopping.")


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-20:])
