"""The HTTPS link beside that of a running baetyl-cloud: the same nodes, reports and connections.

Each number of connections is tried at edgesync, which is started here, and at the other server,
one after the other. Nodes present a certificate for their name of an authority of the benchmark,
which a baetyl-cloud as shipped takes; where its link has no TLS they send the header
`common-name`. The nodes that are created there are deleted at the end.
"""

import asyncio
import contextlib
import json
import ssl
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
import uvloop
from rich.console import Console
from rich.table import Table

from edgesync.bench.activations import make_devices
from edgesync.bench.activations import measure as measure_activations
from edgesync.bench.certificates import node_file, write_certificates
from edgesync.bench.figures import machine, system_load
from edgesync.bench.site import start_server
from edgesync.client.client import Client
from edgesync.client.errors import ApiError

MAX_NODES = 256
MAX_SECONDS = 60.0
PREFIX = "edgesync-bench-"
"""Begins the names of the nodes on the other server."""

_PATIENCE_SECONDS = 30.0
_SUCCESS = range(200, 209)
"""What agents take for one."""

_USAGE = {"cpu": "700m", "memory": "1200Mi"}
_REPORT = json.dumps(
    {
        "time": "2026-01-01T00:00:00Z",
        "core": {"goVersion": "go1.18", "binVersion": "2.4.3", "gitRevision": "0" * 40},
        "node": {"bench": {"hostname": "bench", "arch": "amd64", "os": "linux", "machineID": "0"}},
        "nodestats": {"bench": {"usage": _USAGE, "capacity": {"cpu": "4", "memory": "8Gi"}}},
        "apps": [],
        "sysapps": [],
        "appstats": [],
        "sysappstats": [
            {
                "name": f"baetyl-core-{number}",
                "version": "1599999999abcdef",
                "status": "Running",
                "instances": {"i": {"name": "i", "status": "Running", "usage": _USAGE}},
            }
            for number in range(3)
        ],
    }
).encode()


@dataclass(frozen=True, slots=True)
class LinkNode:
    """A node: its id, and the context of its connections; None without TLS."""

    id: str
    context: ssl.SSLContext | None


@dataclass(frozen=True, slots=True)
class LinkFigure:
    """What one server did with so many connections."""

    server: str
    connections: int
    reports_per_second: float
    p50_ms: float
    p99_ms: float
    load_cpu_us: float


class _LinkFailed(Exception):
    """A report was refused, or the connection was lost."""


async def _report_on(url: str, node: LinkNode, end: float, took: list[float]) -> None:
    """Send reports of *node* on one connection until *end*; how long each *took*."""
    parts = urlsplit(url)
    port = parts.port or (443 if node.context else 80)
    request = (
        f"POST /v1/sync/report HTTP/1.1\r\nHost: {parts.netloc}\r\n"
        "Content-Type: application/json\r\nkind: report\r\nsource: baetyl-core\r\n"
        + (f"common-name: {node.id}\r\n" if node.context is None else "")
        + f"Content-Length: {len(_REPORT)}\r\n\r\n"
    ).encode() + _REPORT
    async with asyncio.timeout(_PATIENCE_SECONDS + MAX_SECONDS):
        reader, writer = await asyncio.open_connection(parts.hostname, port, ssl=node.context)
        try:
            while not took or time.perf_counter() < end:
                began = time.perf_counter()
                writer.write(request)
                status, body = await _answer(reader)
                if status not in _SUCCESS:
                    raise _LinkFailed(f"{url}: report of {node.id}: {status} {body[:300]!r}")
                took.append(time.perf_counter() - began)
        finally:
            writer.close()


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Status and body of a response; the connection is kept."""
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (x.partition(":") for x in lines)}
    status = int(first.split()[1])
    if headers.get("transfer-encoding", "").lower() != "chunked":
        return status, await reader.readexactly(int(headers.get("content-length", "0")))
    body = b""
    while size := int((await reader.readline()).partition(b";")[0], 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readline()
    return status, body


async def load_link(
    server: str, url: str, nodes: Sequence[LinkNode], connections: int, seconds: float
) -> LinkFigure:
    """Report on so many connections, each of another node; ClickException if one is refused."""
    took, cpu, began = list[list[float]](), time.process_time(), time.perf_counter()
    try:
        async with asyncio.TaskGroup() as group:
            for node in nodes[:connections]:
                took.append([])
                group.create_task(_report_on(url, node, began + seconds, took[-1]))
    except ExceptionGroup as failed:  # of except*, Python before 3.11.4 raises a group
        ours, others = failed.split((_LinkFailed, OSError, EOFError, ValueError, TimeoutError))
        if ours is None or others is not None:
            raise
        raise click.ClickException(f"{server}: {ours.exceptions[0]}") from failed
    passed, cpu = time.perf_counter() - began, time.process_time() - cpu
    ordered = sorted(second for each in took for second in each)
    return LinkFigure(
        server,
        connections,
        len(ordered) / passed,
        ordered[len(ordered) // 2] * 1000,
        ordered[len(ordered) * 99 // 100] * 1000,
        cpu / len(ordered) * 1e6,
    )


@contextlib.contextmanager
def peer_nodes(
    api: Client, link: str, namespace: str, count: int, directory: Path
) -> Iterator[list[LinkNode]]:
    """Nodes on the other server, meanwhile."""
    names = [f"{PREFIX}{number}" for number in range(count)]
    is_tls = urlsplit(link).scheme == "https"
    if is_tls:
        write_certificates(directory, count, lambda number: f"{namespace}.{names[number]}")
    made: list[str] = []
    try:
        for name in names:
            api.call("POST", "/v1/nodes", body={"name": name, "labels": {"edgesync": "bench"}})
            made.append(name)
        ids = [f"{namespace}.{name}" for name in names]
        yield [LinkNode(one, _agent_context(directory, one) if is_tls else None) for one in ids]
    finally:
        for name in made:
            with contextlib.suppress(ApiError):
                api.call("DELETE", f"/v1/nodes/{name}")


def _agent_context(directory: Path, name: str) -> ssl.SSLContext:
    """As agents do by default, which set `insecureSkipVerify`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.load_cert_chain(node_file(directory, name))
    return context


@contextlib.contextmanager
def own_nodes(count: int, directory: Path) -> Iterator[tuple[str, list[LinkNode]]]:
    """A server of edgesync meanwhile: its link, and nodes that were activated."""
    server = start_server(directory / "data")
    try:
        server.wait_until_ready()
        devices = make_devices(count)
        _, answers = measure_activations(server, devices, min(count, 16))
        nodes = []
        for device, answer in zip(devices, answers, strict=True):
            if answer.is_refused:
                raise click.ClickException(f"a device was refused: {answer.raw[:500]!r}")
            content = answer.content
            name = f"{content['namespace']}.{content['nodeName']}"
            file = directory / f"{name}.pem"
            file.write_bytes(device.key + content["certificate"]["cert"].encode())
            context = ssl.create_default_context(cafile=server.ready["ca"])
            context.load_cert_chain(file)
            nodes.append(LinkNode(name, context))
        yield server.ready["sync"], nodes
    finally:
        server.stop()


@click.command()
@click.option(
    "--baetyl-cloud", "url", required=True, metavar="URL", help="REST API, often on port 9004."
)
@click.option(
    "--link", metavar="URL", help="HTTPS link.  [default: https, port 9005 of the same host]"
)
@click.option(
    "--namespace", default="baetyl-cloud", show_default=True, help="Namespace of its nodes."
)
@click.option(
    "--connections",
    multiple=True,
    type=click.IntRange(1, MAX_NODES),
    default=(1, 16, 64),
    show_default=True,
    help="Connections at a time, one for each node. Can be repeated.",
)
@click.option("--seconds", type=click.FloatRange(0, MAX_SECONDS), default=5.0, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    url: str,
    link: str | None,
    namespace: str,
    connections: Sequence[int],
    seconds: float,
    *,
    as_json: bool,
) -> None:
    """Benchmark reports over the HTTPS link beside a running baetyl-cloud.

    Nodes named edgesync-bench-N are created there, and deleted at the end.
    """
    other = link or f"https://{urlsplit(url).hostname}:9005"
    count, figures = max(connections), list[LinkFigure]()
    with tempfile.TemporaryDirectory(prefix="edgesync-bench-") as name, Client(url) as api:
        directory = Path(name)
        with (
            peer_nodes(api, other, namespace, count, directory) as there,
            asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        ):
            # What is wrong is seen before a server is started.
            runner.run(load_link("baetyl-cloud", other, there, 1, 0.0))
            with own_nodes(count, directory) as (own, here):
                for some in connections:
                    for server, at, nodes in (
                        ("edgesync", own, here),
                        ("baetyl-cloud", other, there),
                    ):
                        figures.append(runner.run(load_link(server, at, nodes, some, seconds)))
    if as_json:
        content: dict[str, Any] = {"machine": machine(), "system_load": system_load()}
        click.echo(json.dumps(content | {"figures": [asdict(one) for one in figures]}, indent=1))
        return
    _print(figures)


def _print(figures: Sequence[LinkFigure]) -> None:
    table = Table(title="reports over the HTTPS link, in the same run", title_justify="left")
    for heading in ("connections", "edgesync", "baetyl-cloud", "ratio"):
        table.add_column(heading)
    for own, other in zip(figures[::2], figures[1::2], strict=True):
        table.add_row(
            str(own.connections),
            *(f"{one.reports_per_second:,.0f}/s, p99 {one.p99_ms:.1f} ms" for one in (own, other)),
            f"{own.reports_per_second / other.reports_per_second:.2f}",
        )
    Console().print(table)
