"""What nodes and strangers can do to the hub and to each other: bounded, and printed (`-s`)."""

import asyncio
import json
import resource
import socket
import ssl
import time
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.broker.authority import HubAuthority
from tests.broker.node import HubNode
from tests.end_to_end.conftest import (
    UNIT,
    Identity,
    Server,
    activate,
    kv,
    make_batch,
    running_server,
    wait_for,
)
from tests.end_to_end.pressure import MIB, Memory, Speaker, percentile, show, speaking
from tests.end_to_end.test_full_disk import full_disk

NOT_AUTHORIZED, IDENTIFIER_REJECTED = 5, 2
CONFIG_BYTES = 300_000
ANSWER_BYTES = 1 * MIB


def client_hello() -> bytes:
    outgoing = ssl.MemoryBIO()
    context = ssl.create_default_context()
    handshake = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost")
    with suppress(ssl.SSLWantReadError):
        handshake.do_handshake()
    return outgoing.read()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    settings = {"EDGESYNC_ANSWER_BYTES": str(ANSWER_BYTES)}
    with running_server(tmp_path / "data", **settings) as running:
        yield running


@pytest.fixture
def identities(server: Server, api: httpx.Client) -> list[Identity]:
    batch = make_batch(api)
    return [activate(server, batch, f"n{number}") for number in range(6)]


def describe(api: httpx.Client, configs: int) -> None:
    """An app for all nodes that mounts so many large *configs*."""
    names = [f"large-{number}" for number in range(configs)]
    for name in names:
        body = {"name": name, "data": [kv("a", "x" * CONFIG_BYTES)]}
        assert api.post("/v1/configs", json=body).status_code == 200
    volumes = [{"name": name, "config": {"name": name}} for name in names]
    app = {
        "name": "web",
        "type": "container",
        "selector": "!none",
        "services": [{"name": "web", "image": "nginx:1"}],
        "volumes": volumes,
    }
    answer = api.post("/v1/apps", json=app)
    assert answer.status_code == 200, answer.text


def infos(*names: str) -> dict[str, Any]:
    return {"infos": [{"kind": "config", "name": name, "version": ""} for name in names]}


def test_a_desire_that_names_a_config_often_is_answered_with_it_once(
    server: Server, api: httpx.Client, identities: list[Identity]
) -> None:
    describe(api, 1)
    memory = Memory(server)
    repeated = infos(*["large-0"] * 1000)

    async def over_mqtt() -> dict[str, Any]:
        async with speaking(server, identities[0]) as node:
            node.send("desire", "desire", repeated)
            return await node.answer()

    assert len(asyncio.run(over_mqtt())["content"]["values"]) == 1
    with httpx.Client(base_url=server.sync, verify=identities[1].context(), timeout=20) as node:
        answer = node.post("/v1/sync/desire", json=repeated)
    assert len(answer.json()["values"]) == 1
    bound = 20 * MIB
    show("memory of a repeated desire", memory.growth / MIB, bound / MIB, "MiB")
    assert memory.growth < bound


def test_an_answer_too_large_is_an_error_that_names_it(
    server: Server, api: httpx.Client, identities: list[Identity]
) -> None:
    describe(api, 5)
    memory = Memory(server)
    everything = infos(*(f"large-{number}" for number in range(5)))

    async def over_mqtt() -> dict[str, Any]:
        async with speaking(server, identities[0]) as node:
            node.send("desire", "desire", everything)
            refused = await node.answer()
            await node.report(apps=[])
            return refused

    assert "content.infos[3]: with the config 'large-3'" in asyncio.run(over_mqtt())["content"]
    with httpx.Client(base_url=server.sync, verify=identities[1].context(), timeout=20) as node:
        answer = node.post("/v1/sync/desire", json=everything)
    assert answer.status_code == 400
    assert "content.infos[3]: with the config 'large-3'" in answer.json()["message"]
    assert memory.growth < 20 * MIB


def test_nodes_that_never_read_hold_what_they_may(
    server: Server, api: httpx.Client, identities: list[Identity]
) -> None:
    describe(api, 3)
    memory = Memory(server)
    bound = len(identities) * (ANSWER_BYTES + 4 * MIB) + 30 * MIB

    async def attack() -> None:
        async with AsyncExitStack() as stack:
            for identity in identities:
                node = await stack.enter_async_context(speaking(server, identity))
                node.node.writer.transport.pause_reading()  # type: ignore[attr-defined]
                for _ in range(60):
                    node.send("desire", "desire", infos("large-0", "large-1", "large-2"))
            await asyncio.to_thread(wait_for, lambda: refusals(api, "slow_reader") >= 1, "one")
            # Who reads is answered meanwhile.
            async with speaking(server, identities[0]) as node:
                await node.report(apps=[])

    asyncio.run(attack())
    show("memory of nodes that never read", memory.growth / MIB, bound / MIB, "MiB")
    assert memory.growth < bound


def refusals(api: httpx.Client, bound: str) -> float:
    name = f'edgesync_limits_refusals_total{{bound="{bound}"}}'
    for line in api.get("/metrics").text.splitlines():
        if line.startswith(name):
            return float(line.split()[-1])
    return 0


def test_a_node_that_comes_back_while_the_store_is_stuck_gets_no_more_memory(
    tmp_path: Path,
) -> None:
    with running_server(tmp_path / "data", EDGESYNC_NODE_BYTES_PER_SECOND="0") as server:
        with server.client() as api:
            identity = activate(server, make_batch(api), "n1")
        report = json.dumps({"kind": "report", "content": {"node": {"x": "y" * 900_000}}}).encode()
        memory = Memory(server)
        bound = 30 * MIB
        with full_disk(server):
            asyncio.run(come_back(server, identity, report, times=15))
            show("memory while the store is stuck", memory.growth / MIB, bound / MIB, "MiB")
            assert memory.growth < bound

        async def go_on() -> None:
            async with speaking(server, identity) as node:
                await node.report(apps=[])

        asyncio.run(go_on())


async def come_back(server: Server, identity: Identity, payload: bytes, *, times: int) -> None:
    """Connect so many *times*, and send 8 MB each time, or what is taken of it."""
    for _ in range(times):
        async with speaking(server, identity) as node:
            for _ in range(9):
                node.raw("report", payload)
                with suppress(TimeoutError):
                    async with asyncio.timeout(0.05 * UNIT):
                        await node.node.writer.drain()


def heavy_report(sequence: int, apps: int) -> bytes:
    """A report of 0.95 MB with the states of so many *apps*."""
    cause = "x" * (900_000 // apps - 75)
    states = [
        {"name": f"app-{number}", "version": "1", "status": "Running", "cause": cause}
        for number in range(apps)
    ]
    content = {"apps": [], "appstats": states}
    meta = {"run": "r", "seq": sequence}
    return json.dumps({"kind": "report", "meta": meta, "content": content}).encode()


@pytest.mark.parametrize("apps", [6000, 1000])
def test_nodes_that_flood_slow_no_other_down(
    server: Server, api: httpx.Client, identities: list[Identity], apps: int
) -> None:
    quiet, flooded, api_times = asyncio.run(measure_flood(server, identities, apps, seconds=4))
    usual, p99 = percentile(quiet, 0.99), percentile(flooded, 0.99)
    bound = max(4 * usual, 0.5 * UNIT)
    show("usual round trip of a report, p99", usual * 1e3, bound * 1e3, "ms")
    show(f"while two nodes flood, p99 of {len(flooded)}", p99 * 1e3, bound * 1e3, "ms")
    show("worst", max(flooded) * 1e3, 1000 * UNIT, "ms")
    show(f"API, p99 of {len(api_times)}", percentile(api_times, 0.99) * 1e3, 250 * UNIT, "ms")
    assert p99 < bound
    assert max(flooded) < 1 * UNIT
    assert percentile(api_times, 0.99) < 0.5 * UNIT


async def flood(node: Speaker, payloads: Sequence[bytes]) -> None:
    """Send *payloads* again and again, as fast as they are taken."""
    while True:
        for payload in payloads:
            node.raw("report", payload)
            await node.node.writer.drain()


async def read_all(node: Speaker) -> None:
    """Read what comes, whatever it is."""
    while await node.node.reader.read(65_536):
        pass


async def call(api: httpx.AsyncClient, times: list[float]) -> None:
    """List nodes again and again, and note how long that takes."""
    while True:
        began = time.perf_counter()
        (await api.get("/v1/nodes")).raise_for_status()
        times.append(time.perf_counter() - began)
        await asyncio.sleep(0.01)


async def reports(node: Speaker, seconds: float) -> list[float]:
    """Round trips of reports of *node*, one after the other."""
    ends, found = time.monotonic() + seconds, []
    while time.monotonic() < ends:
        found.append(await node.report(apps=[], node={"hostname": "h"}))
        await asyncio.sleep(0.01)
    return found


async def measure_flood(
    server: Server, identities: list[Identity], apps: int, *, seconds: float
) -> tuple[list[float], list[float], list[float]]:
    """Round trips of one node before and during a flood of two others, and of the API then."""
    payloads = [heavy_report(sequence, apps) for sequence in range(4)]
    headers = {"Authorization": f"Bearer {server.token}"}
    times: list[float] = []
    async with AsyncExitStack() as stack:
        api = httpx.AsyncClient(base_url=server.api, headers=headers, timeout=60)
        await stack.enter_async_context(api)
        first, second, other = [
            await stack.enter_async_context(speaking(server, identity))
            for identity in identities[:3]
        ]
        quiet = await reports(other, seconds / 2)
        works = [call(api, times)]
        for node in (first, second):
            works += [flood(node, payloads), read_all(node)]
        tasks = [asyncio.create_task(work) for work in works]
        flooded = await reports(other, seconds)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    return quiet, flooded, times


@contextmanager
def many_files(count: int) -> Iterator[None]:
    """Let this process open so many files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < count:
        pytest.skip(f"no more than {hard} open files are allowed here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("first_bytes", [b"\x16", client_hello()], ids=["one byte", "ClientHello"])
def test_half_handshakes_from_several_addresses_keep_no_node_out(
    server: Server, identities: list[Identity], first_bytes: bytes
) -> None:
    bound = 2 * UNIT
    with many_files(4096), HalfHandshakes() as sockets:
        for number in range(3 * 600):
            sockets.knock(server.mqtt_port, f"127.0.0.{2 + number % 3}", first_bytes)

        async def connect() -> float:
            began = time.perf_counter()
            async with speaking(server, identities[0]) as node:
                await node.report(apps=[])
            return time.perf_counter() - began

        seconds = asyncio.run(connect())
    show("a node among 1,800 half handshakes", seconds, bound, "s")
    assert seconds < bound


class HalfHandshakes:
    """Sockets that never go on with their handshake, closed at the end."""

    def __init__(self) -> None:
        self._open: list[socket.socket] = []

    def __enter__(self) -> "HalfHandshakes":
        return self

    def __exit__(self, *_: object) -> None:
        for each in self._open:
            each.close()

    def knock(self, port: int, address: str, first_bytes: bytes) -> None:
        made = socket.socket()
        self._open.append(made)
        made.settimeout(0)
        made.bind((address, 0))
        with suppress(BlockingIOError):
            made.connect(("127.0.0.1", port))
        deadline = time.monotonic() + 0.01
        while time.monotonic() < deadline:
            try:
                made.send(first_bytes)
            except (BlockingIOError, BrokenPipeError):
                time.sleep(0)
            except OSError:
                return
            else:
                return


async def refusal_code(server: Server, context: ssl.SSLContext, client_id: str) -> int:
    """Code of the CONNACK for a node that connects as *client_id*."""
    node = await HubNode.open(server.mqtt_port, context)
    try:
        node.connect(client_id)
        return await node.connack()
    finally:
        await node.close()


def test_a_refused_node_leaves_its_reason_in_the_log_and_the_audit_log(
    server: Server, api: httpx.Client, identities: list[Identity], tmp_path: Path
) -> None:
    deleted, revoked, mixed_up = identities[:3]
    assert api.delete(f"/v1/nodes/{deleted.name}").is_success
    assert api.post(f"/v1/nodes/{revoked.name}/revoke").is_success
    for identity in (deleted, revoked):
        code = asyncio.run(refusal_code(server, identity.context(), identity.node_id))
        assert code == NOT_AUTHORIZED
    code = asyncio.run(refusal_code(server, mixed_up.context(), "default.other"))
    assert code == IDENTIFIER_REJECTED
    foreign = server.context()
    foreign.load_cert_chain(HubAuthority(tmp_path).issue("foreign", [mixed_up.node_id]))
    with pytest.raises((OSError, asyncio.IncompleteReadError)):
        asyncio.run(refusal_code(server, foreign, mixed_up.node_id))

    def entries() -> list[str]:
        answer = api.get("/v1/audit", params={"namespace": "*", "action": "node.connect"})
        return [str(entry) for entry in answer.raise_for_status().json()["items"]]

    assert wait_for(lambda: len(entries()) >= 4, "all entries")
    reasons = {
        deleted.name: "the node was deleted",
        revoked.name: "the certificate was revoked",
        mixed_up.name: "its MQTT client id is 'default.other'",
        "127.0.0.1": "TLS handshake: ",
    }
    lines = server.log().splitlines()
    for who, reason in reasons.items():
        assert len([entry for entry in entries() if who in entry and reason in entry]) == 1
        assert len([line for line in lines if who in line and reason in line]) == 1
