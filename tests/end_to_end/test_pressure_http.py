"""What strangers can do to the HTTP ports: everything they cause is bounded, others notice nothing.

Bounds are small by settings, so that the tests are quick. What was measured is printed beside its
bound (`pytest -s`).
"""

import contextlib
import select
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.deadlines import SLOWNESS, UNIT
from tests.end_to_end.conftest import (
    Identity,
    Server,
    activate,
    make_batch,
    make_csr,
    running_server,
    wait_for,
)
from tests.end_to_end.node import connected
from tests.end_to_end.pressure import MIB, bounded, refusals
from tests.end_to_end.sockets import (
    CHUNKED,
    HEAD,
    address,
    answer_of,
    everything,
    plain,
    secure,
)

SETTINGS = (
    *("--head-seconds", "1", "--body-seconds", "1", "--answer-seconds", "1"),
    *("--max-activation-connections", "100", "--max-connections-per-address", "80"),
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("pressure") / "data", *SETTINGS) as running:
        yield running


def pour(connection: socket.socket, data: bytes, total: int) -> int:
    """Send *data* again and again up to *total* bytes, for as long as they are taken; how many."""
    connection.setblocking(False)  # noqa: FBT003
    sent = 0
    with contextlib.suppress(OSError):
        while sent < total:
            if not select.select([], [connection], [], 0.3 * SLOWNESS)[1]:
                break
            with contextlib.suppress(BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
                sent += connection.send(data)
    return sent


def pour_and_note(connection: socket.socket, data: bytes, taken: list[int]) -> None:
    taken.append(pour(connection, data, 20 * MIB))


def all_at_once(works: Sequence[Callable[[], object]]) -> None:
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)


def test_clients_that_pipeline_and_never_read_are_cut_off(server: Server) -> None:
    requests = HEAD.replace(b"/crl.pem", b"/openapi.json") * 1000
    with contextlib.ExitStack() as stack, bounded(server, "pipelining"):
        connections = [stack.enter_context(plain(server)) for _ in range(20)]
        taken: list[int] = []
        works = [partial(pour_and_note, each, requests, taken) for each in connections]
        all_at_once(works)
        assert max(taken) < 20 * MIB
        wait_for(lambda: refusals(server, "api_answer_seconds") >= 20, "the end of them")


def test_pipelined_requests_are_answered_in_order(server: Server) -> None:
    asked = [b"/health", b"/nowhere", b"/health", b"/livez", b"/elsewhere"] * 20
    head = b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n"
    last = b"GET /end HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    found = answer_of(server, b"".join(head % path for path in asked) + last)
    statuses = [part[:3] for part in found.split(b"HTTP/1.1 ")[1:]]
    assert statuses == [b"404" if b"where" in path else b"200" for path in asked] + [b"404"]


def test_a_head_without_end_is_431(server: Server) -> None:
    with bounded(server, "endless headers"):
        for kind in (b"X: " + b"a" * 60_000, b"X: a\r\n" * 10_000, b"a" * 60_000):
            with plain(server) as connection:
                connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n" if b":" in kind else b"GET /")
                sent = pour(connection, kind, 100 * MIB)
                connection.settimeout(10 * UNIT)
                assert sent < 10 * MIB
                assert everything(connection).startswith(b"HTTP/1.1 431 ")
    assert refusals(server, "api_head_bytes") == 3


def test_slow_heads_and_bodies_are_408(server: Server) -> None:
    posts = b"POST /v1/active HTTP/1.1\r\nHost: x\r\n"
    begun = {
        "a head": b"GET / HTTP/1.1\r\nHost:",
        "a body": posts + b"Content-Length: 100\r\n\r\n{",
        "a chunk": posts + b"Transfer-Encoding: chunked\r\n\r\n50\r\n{",
        "a chunk size": posts + b"Transfer-Encoding: chunked\r\n\r\n5",
        "a trailer": posts + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: ",
    }
    with bounded(server, "slow requests"), contextlib.ExitStack() as stack:
        connections = {what: stack.enter_context(secure(server)) for what in begun}
        for what, connection in connections.items():
            connection.sendall(begun[what])
        silent = stack.enter_context(secure(server))
        for what, connection in connections.items():
            assert everything(connection).startswith(b"HTTP/1.1 408 "), what
        assert everything(silent) == b""
    assert refusals(server, "activation_head_seconds") == 2
    assert refusals(server, "activation_body_seconds") == 4


def test_a_client_that_sends_byte_by_byte_is_408(server: Server) -> None:
    with plain(server) as connection, bounded(server, "byte by byte"):
        connection.settimeout(0.05)
        sent = b"GET / HTTP/1.1\r\nHost: x\r\nX: "
        began = time.monotonic()
        while True:
            assert time.monotonic() - began < 10 * UNIT
            connection.sendall(sent)
            sent = b"a"
            with contextlib.suppress(TimeoutError):
                assert connection.recv(65536).startswith(b"HTTP/1.1 408 ")
                return


def test_many_sockets_of_one_address_leave_room_for_others(server: Server) -> None:
    with bounded(server, "silent sockets"), contextlib.ExitStack() as stack:
        for _ in range(300):
            stack.enter_context(socket.create_connection(address(server.activation)))
        with secure(server) as connection:
            connection.sendall(HEAD)
            assert connection.recv(65536).startswith(b"HTTP/1.1 200 OK\r\n")
    assert refusals(server, "activation_connections_per_address") > 0


def is_answered(server: Server, source: str) -> bool:
    """Return whether a request from the address *source* is answered with 200."""
    try:
        with secure(server, source) as connection:
            connection.sendall(HEAD)
            return connection.recv(65536).startswith(b"HTTP/1.1 200 OK\r\n")
    except (ConnectionError, ssl.SSLError):
        return False


def test_half_handshakes_from_many_addresses_leave_room_for_others(server: Server) -> None:
    """What begins a handshake and goes on no more ends in time, and makes room before."""
    with bounded(server, "half handshakes"), contextlib.ExitStack() as stack:
        for number in range(400):
            source = (f"127.0.1.{number % 200 + 1}", 0)
            each = socket.create_connection(address(server.activation), source_address=source)
            stack.enter_context(each)
            with contextlib.suppress(ConnectionError):
                each.sendall(b"\x16\x03\x01\x02\x00\x01")
        assert any(is_answered(server, "127.0.2.1") for _ in range(3))  # clients try again
        wait_for(lambda: refusals(server, "activation_handshake_seconds") > 0, "their end")
    assert refusals(server, "activation_connections") > 0


def test_a_flood_of_refused_requests_writes_few_lines(server: Server) -> None:
    requests = b"".join(
        b"GET /v1/%s%d HTTP/1.1\r\nHost: x\r\n\r\n" % (b"%1b" * 500, number) for number in range(50)
    )

    def flood() -> None:
        with plain(server) as connection, contextlib.suppress(OSError):
            reading = threading.Thread(target=everything, args=(connection,))
            reading.start()
            for _ in range(10):
                connection.sendall(requests)
            connection.shutdown(socket.SHUT_RDWR)
            reading.join(timeout=60)

    with bounded(server, "log flood", log=100_000):
        all_at_once([flood] * 4)
    assert "\x1b" not in server.log()


def test_clients_that_vanish_leave_no_traceback(server: Server) -> None:
    with bounded(server, "vanished clients"):
        for number in range(60):
            connection = secure(server) if number % 2 else plain(server)
            connection.sendall((CHUNKED + b"5\r\nab") if number % 3 else HEAD * 50)
            linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            connection.close()


def is_refused(url: str, context: ssl.SSLContext) -> bool:
    """Return whether nothing is answered; with TLS 1.3 the client's handshake may end before."""
    try:
        with (
            socket.create_connection(address(url), timeout=10 * UNIT) as tcp,
            context.wrap_socket(tcp, server_hostname="127.0.0.1") as connection,
        ):
            connection.sendall(HEAD)
            return not connection.recv(1)
    except (ssl.SSLError, ConnectionError):
        return True


def node_entries(server: Server) -> list[dict[str, Any]]:
    """What the audit log has of nodes, the newest first."""
    with server.client() as api:
        answer = api.get("/v1/audit", params={"namespace": "*", "kind": "node"})
    items: list[dict[str, Any]] = answer.raise_for_status().json()["items"]
    return items


def test_a_certificate_that_is_not_ours_leaves_one_line_and_one_entry(
    server: Server, tmp_path: Path
) -> None:
    command = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=default.n1"
    files = ["-keyout", "key.pem", "-out", "cert.pem"]
    subprocess.run(
        ["openssl", *command.split(), *files],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        timeout=60,
    )
    before = server.log().count("TLS handshake")
    for url, stranger in ((server.activation, True), (server.sync, True), (server.sync, False)):
        context = server.context()
        if stranger:
            context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
        assert is_refused(url, context)
    wait_for(lambda: server.log().count("TLS handshake") >= before + 3, "three lines")
    wait_for(
        lambda: sum("TLS handshake" in str(entry) for entry in node_entries(server)) == 3,
        "three entries",
    )


def test_a_node_that_was_deleted_leaves_a_line_and_an_entry(server: Server) -> None:
    with server.client() as api:
        identity = activate(server, make_batch(api, "gone"), "gone-1")
        api.delete(f"/v1/nodes/{identity.name}").raise_for_status()
        assert _report_over_https(server, identity) in {401, 404}
        refused = f"refused node.connect of default/{identity.name} from 127.0.0.1: "
        assert server.log().count(refused) == 1
    refusals_of_nodes = [e for e in node_entries(server) if e["action"] == "node.connect"]
    assert refusals_of_nodes[0]["name"] == identity.name


CROWD = """
import resource, socket, sys
host, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
sockets = []
for number in range(count):
    source = (f"127.0.3.{number % 100 + 1}", 0)
    sockets.append(socket.create_connection((host, port), source_address=source))
    try:
        sockets[-1].send(b"\\x16")
    except OSError:
        pass
print("there", flush=True)
sys.stdin.read()
"""
"""Opens sockets from 100 addresses, sends one byte on each and keeps them."""


@contextlib.contextmanager
def crowd(url: str, count: int) -> Iterator[None]:
    """So many sockets meanwhile, in a process of their own: this one has select(2) for nodes."""
    host, port = address(url)
    command = [sys.executable, "-c", CROWD, host, str(port), str(count)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"there\n"
            yield
        finally:
            process.kill()


def test_eleven_hundred_sockets_with_one_byte_leave_api_and_hub_reachable(tmp_path: Path) -> None:
    """Descriptors are shared out between the ports; the server takes all that it may have."""
    with running_server(tmp_path / "data", wrapper=("prlimit", "--nofile=256:700")) as server:
        assert "700 file descriptors" in server.log()
        with server.client() as api:
            identity = activate(server, make_batch(api), "F1")
        with crowd(server.activation, 1100), bounded(server, "1,100 sockets", units=4):
            with connected(server, identity) as node:
                assert node.report(apps=[])["kind"] == "report"
            assert _report_over_https(server, identity) == 200
            with server.devices() as devices:
                claim = {"batchName": "b1", "fingerprintValue": "F2", "csr": make_csr()[1]}
                assert devices.post("/v1/active", json=claim).status_code < 500
        assert "cannot accept" not in server.log()


def _report_over_https(server: Server, identity: Identity) -> int:
    with httpx.Client(verify=identity.context(), timeout=20 * UNIT) as client:
        return client.post(f"{server.sync}/v1/sync/report", json={"apps": []}).status_code
