"""What is measured of a fleet on one layout: figures, each beside another of the same run."""

import asyncio
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import psutil
import uvloop

from edgesync.bench.activations import (
    SPARE,
    ActivationOutcome,
    BenchDevice,
    make_batch,
    make_devices,
)
from edgesync.bench.activations import measure as measure_activations
from edgesync.bench.clients import Load, Probe, light_nodes, process
from edgesync.bench.figures import DEVICES, FULL, LIGHT, Figure, system_load
from edgesync.bench.full_nodes import run_full_nodes
from edgesync.bench.nodes import NODES_FILE, ROOT_FILE, latest_retry, longest_seconds, part
from edgesync.bench.site import BenchSite, memory_bytes
from edgesync.bench.store import reports_alone
from edgesync.demo.api import DemoApi

APP = "bench"
CPU_OF_REPORT = "CPU us of these for each"

_BARE_CONNECTIONS = 500
_BARE_SECONDS = 600.0
_IDLE_SECONDS = 2.0  # at most


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
    seeded: bool = False
    """Whether nodes are put into the database instead of being activated."""


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

    def measure_connections(self) -> None:
        """Connections and an update of nodes that are in the database already."""
        make_batch(self._site.servers[0].ready, SPARE)
        self._make_app()
        self._node_names = [one.partition(".")[2] for one in _ids(self._directory)]
        with self._nodes() as load:
            self._connections(load)
            self._update(load)

    def measure_reports(self) -> None:
        """Reports alone."""
        devices = make_devices(self._sizes.nodes)
        ready = self._site.servers[0].ready
        _, answers = measure_activations(self._site.servers[0], devices, self._sizes.parallel)
        self._keep(devices, answers, ready)
        self._make_app()
        with self._nodes() as load:
            load.ask("connect", ports=self._site.node_ports)
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
        before, loaded = self._memory(load), system_load()
        with Probe(self._api, self._site.servers[0].ready, self._node_names[0]) as probe:
            connected = load.ask("connect", ports=self._site.node_ports)
        self._check_all(connected, "connected")
        time.sleep(min(_IDLE_SECONDS, self._sizes.seconds))
        after = self._memory(load)
        used = {name: max(100, after[name] - before[name]) / 1000 for name in after}
        details = {f"{name} MB in all": size / 1e6 for name, size in after.items()}
        details |= {f"{name} kB/node": size / load.nodes for name, size in used.items()}
        del details["machine MB in all"], details["server kB/node"]
        details["connected and reconciled, nodes/s"] = load.nodes / connected["times"][-1]
        self._add(
            "memory of the server for an idle node",
            used["server"] / load.nodes,
            "kB",
            ("a listener that does nothing but TLS", bare),
            cores=connected["cores"],
            details=details | _api_details(probe),
            loaded=loaded,
        )

    def _memory(self, load: Load) -> dict[str, int]:
        """Bytes of servers, broker and nodes, and of all of the machine, with the kernel's."""
        machine = psutil.virtual_memory()
        return {
            **self._site.memory_bytes,
            "load generator": load.memory_bytes,
            "machine": machine.total - machine.available,
        }

    def _bare(self, load: Load) -> float:
        """kB for a connection of a listener that does nothing."""
        each = max(1, min(load.nodes, _BARE_CONNECTIONS) // load.processes)
        count = each * load.processes
        authority = self._site.directory / "server-0" / "ca"
        with process("bench.bare", "--authority", str(authority), seconds=_BARE_SECONDS) as bare:
            port = json.loads(bare.stdout.readline() if bare.stdout else "")["port"]
            before = memory_bytes(bare.pid)
            opened = load.ask("handshakes", port=port, count=each)
            self._handshakes = count / opened["seconds"]
            used = memory_bytes(bare.pid) - before
            load.go_on()
            load.answer()
        return max(0.1, used / 1000 / count)

    def _update(self, load: Load) -> None:
        self._log("changing the app")
        loaded = system_load()
        round_trip = load.ask("report")
        self._check_all(round_trip, "answered")
        with Probe(self._api, self._site.servers[0].ready, self._node_names[0]) as probe:
            since = time.monotonic()
            version = self._put_app()
            put = time.monotonic() - since
            updated = load.ask("update", app=APP, version=version, since=since)
        self._check_all(updated, "updated")
        times = updated["times"]
        self._add(
            "PUT of an app until 99 % of the nodes report it",
            part(times, 0.99),
            "s",
            ("every node reports once, 99 % answered", part(round_trip["times"], 0.99)),
            cores=updated["cores"],
            details={
                "50 % s": part(times, 0.5),
                "last s": times[-1],
                "PUT itself s": put,
                **_api_details(probe),
            },
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
                "p50 ms": part(done["times"], 0.5) * 1000,
                "p99 ms": part(done["times"], 0.99) * 1000,
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
        self._check_all(back, "reconciled")
        self._add(
            "nodes back and reconciled after kill -9",
            load.nodes / back["times"][-1],
            "nodes/s",
            ("TLS handshakes alone", self._handshakes),
            cores=back["cores"],
            details={
                "all back s": back["times"][-1],
                "99 % back s": part(back["times"], 0.99),
                "of which restart s": restart,
                "all tried again s": latest_retry(restart),
                **_api_details(probe),
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
        with light_nodes(self._sizes.nodes, *options) as load:
            yield load

    @property
    def _directory(self) -> Path:
        return self._site.nodes_directory

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

    def _check_all(self, answer: dict[str, Any], what: str) -> None:
        count, wanted = len(answer["times"]), self._sizes.nodes
        if count < wanted:
            seconds = longest_seconds(wanted)
            raise click.ClickException(
                f"only {count} of {wanted} nodes were {what} in {seconds:.0f} s"
            )


def _api_details(probe: Probe) -> dict[str, float]:
    calls: dict[str, float] = {"API calls": len(probe.took)}
    if not probe.took:
        return calls
    return calls | {"API p50 ms": probe.milliseconds(0.5), "API p99 ms": probe.milliseconds(0.99)}


def _ids(directory: Path) -> list[str]:
    ids: list[str] = json.loads((directory / NODES_FILE).read_text())
    return ids
