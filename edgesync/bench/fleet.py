"""The costs of a fleet: five figures of one server or several, each beside another of the same run.

Everything is real and started here: servers, broker and database as processes, nodes with
certificates they were given by activation, connected over TLS from a process of their own. What is
measured, and what limits it: docs/performance.md.
"""

import asyncio
import json
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import uvloop

from agent_sim.command import SPARE_FILES, allow_files
from edgesync.bench.activations import ActivationOutcome, BenchDevice, make_devices
from edgesync.bench.activations import measure as measure_activations
from edgesync.bench.clients import Load, Probe, process
from edgesync.bench.figures import (
    DEVICES,
    FULL,
    LIGHT,
    Figure,
    as_json,
    compared,
    print_comparison,
    print_table,
    system_load,
)
from edgesync.bench.full_nodes import run_full_nodes
from edgesync.bench.nodes import MAX_SECONDS, NODES_FILE, ROOT_FILE, latest_retry, part
from edgesync.bench.site import BenchSite, Layout, memory_bytes, open_site, search_path
from edgesync.bench.store import reports_alone
from edgesync.demo.api import DemoApi

MAX_NODES = 10_000
MAX_SERVERS = 4
APP = "bench"
CPU_OF_REPORT = "CPU us of these for each"

_BARE_CONNECTIONS = 500
_IDLE_SECONDS = 2.0  # at most

OTHERS = (
    Layout(),
    Layout("managed"),
    Layout("mosquitto"),
    Layout("mosquitto", "postgresql"),
    Layout("mosquitto", "postgresql", 2),
)
"""Where reports are measured too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How much of everything."""

    nodes: int
    parallel: int
    full_nodes: int
    seconds: float
    window: int
    report_bytes: int
    interval: float


class FleetBench:
    """One site with its nodes, and the figures that came out so far."""

    def __init__(self, site: BenchSite, sizes: Sizes, log: Callable[[str], None]) -> None:
        self.figures: list[Figure] = []
        self._site = site
        self._sizes = sizes
        self._log = log
        self._api = DemoApi(site.servers[0].ready)
        self._handshakes = 0.0
        self._node_names: list[str] = []

    def __enter__(self) -> "FleetBench":
        return self

    def __exit__(self, *_: object) -> None:
        self._api.close()

    def measure_all(self) -> None:
        """Every figure."""
        devices = make_devices(self._sizes.nodes)
        self._activations(devices)
        with self._nodes() as load:
            self._connections(load)
            self._update(load)
            self._first_app()
            self._reports(load)
            self._storm(load)

    def measure_reports(self) -> None:
        """Reports alone."""
        devices = make_devices(self._sizes.nodes)
        ready = self._site.servers[0].ready
        _, answers = measure_activations(self._site.servers[0], devices, self._sizes.parallel)
        self._keep(devices, answers, ready)
        self._make_app()
        with self._nodes() as load:
            load.ask("connect", port=self._site.node_port)
            self._reports(load)

    # -- one figure each ------------------------------------------------------------------------

    def _activations(self, devices: Sequence[BenchDevice]) -> None:
        self._log(f"activating {len(devices)} devices")
        server = self._site.servers[0]
        loaded = system_load()
        result, answers = measure_activations(server, devices, self._sizes.parallel)
        self._keep(devices, answers, server.ready)
        self._make_app()
        self._add(
            "activations with CSR",
            result.activations_per_second,
            "/s",
            ("signing alone, one core", result.signed_per_second),
            load=DEVICES,
            cores=result.load_cpu_ms * result.activations_per_second / 1000,
            details={"p50 ms": result.p50_ms, "p99 ms": result.p99_ms},
            loaded=loaded,
        )

    def _connections(self, load: Load) -> None:
        self._log("connecting")
        bare = self._bare(load)
        before, loaded = self._site.memory_bytes, system_load()
        connected = load.ask("connect", port=self._site.node_port)
        _check_all(connected, load.nodes, "connected")
        time.sleep(min(_IDLE_SECONDS, self._sizes.seconds))
        after = self._site.memory_bytes
        used = {name: after[name] - before[name] for name in after}
        details = {f"{name} MB in all": size / 1e6 for name, size in after.items()}
        if "broker" in used:
            details["broker kB/node"] = max(0, used["broker"]) / 1000 / load.nodes
        details["connected and reconciled, nodes/s"] = load.nodes / connected["last"]
        self._add(
            "memory of the server for an idle node",
            max(0.1, used["server"] / 1000 / load.nodes),
            "kB",
            ("a listener that does nothing but TLS", bare),
            cores=connected["cores"],
            details=details,
            loaded=loaded,
        )

    def _bare(self, load: Load) -> float:
        """kB for a connection of a listener that does nothing."""
        count = min(load.nodes, _BARE_CONNECTIONS)
        authority = self._site.directory / "server-0" / "ca"
        with process("bench.bare", "--authority", str(authority)) as bare:
            port = json.loads(bare.stdout.readline() if bare.stdout else "")["port"]
            before = memory_bytes(bare.pid)
            opened = load.ask("handshakes", port=port, count=count)
            self._handshakes = count / opened["seconds"]
            used = memory_bytes(bare.pid) - before
            load.go_on()
            load.answer()
        return max(0.1, used / 1000 / count)

    def _update(self, load: Load) -> None:
        self._log("changing the app")
        loaded = system_load()
        round_trip = load.ask("report")
        _check_all(round_trip, load.nodes, "answered")
        since = time.monotonic()
        version = self._put_app()
        put = time.monotonic() - since
        timings = load.ask("update", app=APP, version=version, since=since)
        _check_all(timings, load.nodes, "updated")
        self._add(
            "PUT of an app until 99 % of the nodes report it",
            timings["p99"],
            "s",
            ("every node reports once, 99 % answered", round_trip["p99"]),
            cores=timings["cores"],
            details={"50 % s": timings["p50"], "last s": timings["last"], "PUT itself s": put},
            loaded=loaded,
        )

    def _first_app(self) -> None:
        self._log("activating simulated nodes")
        loaded, cpu, began = system_load(), time.process_time(), time.perf_counter()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            took = runner.run(
                run_full_nodes(
                    self._site.servers[0].ready,
                    self._api.call("GET", "/v1/register/bench")["securityKey"],
                    self._site.directory / "full",
                    self._sizes.full_nodes,
                )
            )
        cores = (time.process_time() - cpu) / (time.perf_counter() - began)
        activated, running = (sorted(column) for column in zip(*took, strict=True))
        self._add(
            "activation to first app running",
            part(running, 0.5),
            "s",
            ("of which activation", part(activated, 0.5)),
            nodes=len(took),
            load=FULL,
            cores=cores,
            details={"longest s": running[-1]},
            loaded=loaded,
        )

    def _reports(self, load: Load) -> None:
        self._log("publishing reports")
        sizes, loaded = self._sizes, system_load()
        before, began = self._site.cpu_seconds, time.monotonic()
        done = load.ask("flood", seconds=sizes.seconds, window=sizes.window)
        used, took = self._site.cpu_seconds - before, time.monotonic() - began
        url = self._site.database.alone_url
        alone = reports_alone(
            self._site.directory / "alone", url, load.nodes, sizes.report_bytes, sizes.seconds / 2
        )
        self._add(
            "reports answered, each after its commit",
            done["answered"] / done["seconds"],
            "/s",
            ("rows the store alone puts", alone),
            cores=done["cores"],
            details={
                "p50 ms": done["p50"] * 1000,
                "p99 ms": done["p99"] * 1000,
                "bytes": sizes.report_bytes,
                "cores of servers and broker": used / took,
                CPU_OF_REPORT: used * 1e6 / max(1, done["answered in all"]),
                "never answered": done["unanswered"],
            },
            loaded=loaded,
        )

    def _storm(self, load: Load) -> None:
        self._log("killing and starting again")
        site, loaded = self._site, system_load()
        node = self._node_names[0]
        with Probe(self._api, site.servers[0].ready, node) as idle:
            time.sleep(min(_IDLE_SECONDS, self._sizes.seconds))
        load.send("storm")
        load.answer()
        with Probe(self._api, site.servers[0].ready, node) as probe:
            restart = site.kill_and_restart()
            back = load.answer()
        _check_all(back, load.nodes, "reconciled")
        self._add(
            "nodes back and reconciled after kill -9",
            load.nodes / back["last"],
            "nodes/s",
            ("TLS handshakes alone", self._handshakes),
            cores=back["cores"],
            details={
                "all back s": back["last"],
                "99 % back s": back["p99"],
                "of which restart s": restart,
                "all tried again s": latest_retry(restart),
                "API p50 ms": probe.milliseconds(0.5),
                "API p99 ms": probe.milliseconds(0.99),
                "API calls": len(probe.took),
                "API p99 ms before": idle.milliseconds(0.99),
            },
            loaded=loaded,
        )

    # -- what the figures need ------------------------------------------------------------------

    def _add(
        self,
        name: str,
        value: float,
        unit: str,
        beside: tuple[str, float],
        *,
        cores: float,
        details: dict[str, float],
        loaded: float,
        nodes: int = 0,
        load: str = LIGHT,
    ) -> None:
        self.figures.append(
            Figure(
                name=name,
                layout=str(self._site.layout),
                value=value,
                unit=unit,
                beside=beside[0],
                beside_value=beside[1],
                nodes=nodes or self._sizes.nodes,
                load=load,
                load_cores=cores,
                details=details,
                system_load=max(loaded, system_load()),
            )
        )

    @contextmanager
    def _nodes(self) -> Iterator[Load]:
        options = ["--directory", str(self._directory), "--size", str(self._sizes.report_bytes)]
        options += ["--interval", str(self._sizes.interval)]
        with process("bench.nodes", *options) as nodes:
            yield Load(nodes)

    @property
    def _directory(self) -> Path:
        return self._site.directory / "nodes"

    def _keep(
        self,
        devices: Sequence[BenchDevice],
        answers: Sequence[ActivationOutcome],
        ready: dict[str, str],
    ) -> None:
        """Write what the light nodes need to be who they are."""
        directory = self._directory
        directory.mkdir()
        (directory / ROOT_FILE).write_bytes(Path(ready["ca"]).read_bytes())
        ids = []
        for number, (device, answer) in enumerate(zip(devices, answers, strict=True)):
            if answer.is_refused:
                raise click.ClickException(f"a device was refused: {answer.raw[:500]!r}")
            activated = answer.content
            certificate = activated["certificate"]["cert"].encode()
            (directory / f"{number}.pem").write_bytes(device.key + certificate)
            ids.append(f"{activated['namespace']}.{activated['nodeName']}")
        (directory / NODES_FILE).write_text(json.dumps(ids))
        self._node_names = [one.partition(".")[2] for one in ids]

    def _make_app(self) -> None:
        self._api.call("POST", "/v1/apps", {**self._app("nginx:1"), "name": APP})

    def _put_app(self) -> str:
        answer = self._api.call("PUT", f"/v1/apps/{APP}", self._app("nginx:2"))
        return str(answer["version"])

    def _app(self, image: str) -> dict[str, Any]:
        service = {"name": "main", "image": image, "replica": 1}
        return {"name": APP, "type": "container", "selector": "fleet=bench", "services": [service]}


def _check_all(answer: dict[str, Any], nodes: int, what: str) -> None:
    if answer["reached"] < nodes:
        raise click.ClickException(
            f"only {answer['reached']} of {nodes} nodes were {what} in {MAX_SECONDS} s"
        )


def measurable(wanted: Sequence[Layout], path: str) -> tuple[list[Layout], list[str]]:
    """Those of *wanted* for which all is installed, and why the others are not among them."""
    lacks = {one: one.missing(path) for one in wanted}
    return (
        [one for one in wanted if not lacks[one]],
        [f"{one}: {lacks[one]} is not installed" for one in wanted if lacks[one]],
    )


def main(
    layout: Layout,
    sizes: Sizes,
    *,
    others: Sequence[Layout],
    log: Callable[[str], None],
    only_reports: bool = True,
) -> tuple[list[Figure], list[str]]:
    """Measure *layout*, and *others*; the figures, and what could not be measured.

    Of the others *only_reports*, or everything.
    """
    figures: list[Figure] = []
    allow_files(sizes.nodes + SPARE_FILES)
    layouts, skipped = measurable([layout, *others], search_path())
    for reason in skipped:
        log(f"skipped: {reason}")
    for one in layouts:
        log(f"{one}: {sizes.nodes} nodes")
        with (
            tempfile.TemporaryDirectory(prefix="edgesync-bench-") as name,
            open_site(one, Path(name), sizes.nodes) as site,
            FleetBench(site, sizes, log) as bench,
        ):
            is_whole = one == layout or not only_reports
            (bench.measure_all if is_whole else bench.measure_reports)()
            figures += bench.figures
    return figures, skipped


@click.command()
@click.option(
    "--broker",
    type=click.Choice(["embedded", "managed", "mosquitto"]),
    default="embedded",
    show_default=True,
)
@click.option(
    "--database", type=click.Choice(["sqlite", "postgresql"]), default="sqlite", show_default=True
)
@click.option("--servers", type=click.IntRange(1, MAX_SERVERS), default=1, show_default=True)
@click.option("--nodes", type=click.IntRange(1, MAX_NODES), default=200, show_default=True)
@click.option("--seconds", type=click.FloatRange(0.2, 60), default=3, show_default=True)
@click.option(
    "--window",
    type=click.IntRange(1, 64),
    default=4,
    show_default=True,
    help="Reports that a node has under way at the same time.",
)
@click.option("--report-bytes", type=click.IntRange(400, 64_000), default=2000, show_default=True)
@click.option(
    "--interval",
    type=click.FloatRange(0.1, 60),
    default=20,
    show_default=True,
    help="Seconds after which a node that was not answered reports again.",
)
@click.option("--parallel", type=click.IntRange(1, 256), default=16, show_default=True)
@click.option("--full-nodes", type=click.IntRange(1, 100), default=5, show_default=True)
@click.option(
    "--others/--no-others",
    default=True,
    show_default=True,
    help="Measure reports on other brokers and databases, too.",
)
@click.option(
    "--compare",
    is_flag=True,
    help="Measure everything on each layout, and compare them with the embedded hub on SQLite.",
)
@click.option("--json", "as_json_", is_flag=True, help="Print the figures as JSON.")
def command(
    *,
    broker: str,
    database: str,
    servers: int,
    others: bool,
    compare: bool,
    as_json_: bool,
    **sizes: Any,
) -> None:
    """Benchmark a fleet of nodes: reconnects, updates, activations, memory, reports.

    Starts what it needs on free ports of this machine, and removes it again.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # end what was started, too
    layout = Layout(broker, database, servers)
    if servers > 1 and (broker, database) != ("mosquitto", "postgresql"):
        raise click.UsageError("more than one server needs --broker mosquitto, and postgresql")
    embedded = Layout()
    wanted = [*OTHERS] if others else [embedded] if compare else []
    figures, skipped = main(
        layout,
        Sizes(**sizes),
        others=[one for one in wanted if one != layout],
        log=lambda text: click.echo(text, err=True),
        only_reports=not compare,
    )
    rows = compared(figures, str(embedded), (CPU_OF_REPORT,)) if compare else []
    if as_json_:
        click.echo(as_json(figures, skipped, rows))
    else:
        print_table(figures)
        if compare:
            print_comparison(rows, str(embedded))
    if not figures:
        raise click.ClickException("nothing could be measured")
