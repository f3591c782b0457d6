"""Mosquitto as a child: it comes back, reads its files again, and ends with the process."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from broker.client import open_client_hub
from broker.errors import BrokerMissing, BrokerNotStarted
from broker.managed import check_version, find_mosquitto, open_managed_broker
from broker.topics import Channel, topic_for
from tests.broker.authority import HubAuthority
from tests.broker.conftest import Connect
from tests.broker.managed import running_managed, write_certificate
from tests.broker.mosquitto import NEEDS_MOSQUITTO
from tests.broker.node import DEADLINE, HubNode, until
from tests.deadlines import UNIT

pytestmark = NEEDS_MOSQUITTO

NODE = "default.gate-7"
REPORT = topic_for(NODE, Channel.REPORT)


@pytest.fixture
def anyio_backend() -> object:
    """On the loop that serves."""
    return ("asyncio", {"use_uvloop": True})


def is_running(pid: int) -> bool:
    """Whether the process is there, and not a zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


async def test_it_is_started_again_and_loses_nothing(
    tmp_path: Path, authority: HubAuthority, connect: Connect
) -> None:
    async with (
        running_managed(tmp_path, authority) as managed,
        open_client_hub(managed.broker) as hub,
    ):
        await until(lambda: hub.is_attached)
        killed = managed.process.pid
        assert killed is not None
        os.kill(killed, signal.SIGKILL)
        await until(lambda: not hub.is_attached)
        await until(lambda: hub.is_attached)
        assert managed.process.pid != killed
        node = await connect(managed, NODE)
        node.publish(REPORT, b"1", packet_id=1)
        assert [message.payload for message in await hub.receive(10)] == [b"1"]
    assert managed.process.pid is None


async def test_what_servers_did_not_take_survives_its_stop(
    tmp_path: Path, authority: HubAuthority, connect: Connect
) -> None:
    async with (
        running_managed(tmp_path, authority) as managed,
        open_client_hub(managed.broker) as hub,
    ):
        await until(lambda: hub.is_attached)
        node = await connect(managed, NODE)
        node.publish(REPORT, b"1", packet_id=1)
        await node.acked(1)
        pid = managed.process.pid
    assert pid is not None
    assert not is_running(pid)
    async with (
        running_managed(tmp_path, authority) as managed,
        open_client_hub(managed.broker) as hub,
    ):
        assert [message.payload for message in await hub.receive(10)] == [b"1"]


async def presented(port: int, authority: HubAuthority) -> bytes:
    """The certificate that the broker shows to nodes."""
    node = await HubNode.open(port, authority.client_context("default.third"))
    try:
        shown = node.writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        assert isinstance(shown, bytes)
        return shown
    finally:
        await node.close()


async def test_it_reads_its_certificate_and_the_revoked_ones_again(
    tmp_path: Path, authority: HubAuthority, connect: Connect
) -> None:
    (tmp_path / "crl.pem").write_bytes(authority.revocation_list([]))
    async with running_managed(tmp_path, authority, revocation_list=True) as managed:
        staying = await connect(managed, "default.other")
        node = await connect(managed, NODE)
        await node.close()
        before = await presented(managed.port, authority)
        write_certificate(tmp_path, authority, "renewed")
        (tmp_path / "crl.pem").write_bytes(authority.revocation_list([NODE]))
        assert await presented(managed.port, authority) == before
        await managed.process.reload()
        assert await presented(managed.port, authority) != before
        refused = await HubNode.open(managed.port, authority.client_context(NODE))
        refused.connect(NODE)
        assert await refused.rest() == b""
        await refused.close()
        assert await staying.is_alive()


async def test_the_socket_is_for_its_user_alone(tmp_path: Path, authority: HubAuthority) -> None:
    async with running_managed(tmp_path, authority):
        assert (tmp_path / "socket").stat().st_mode & 0o007 == 0


async def test_a_node_without_a_certificate_is_refused(
    tmp_path: Path, authority: HubAuthority
) -> None:
    async with running_managed(tmp_path, authority) as managed:
        node = await HubNode.open(managed.port, authority.client_context(None))
        node.connect(NODE)
        assert await node.rest() == b""
        await node.close()


async def test_a_port_that_is_taken_is_an_error_with_its_reason(
    tmp_path: Path, authority: HubAuthority
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(BrokerNotStarted, match="Address already in use"):
            async with running_managed(tmp_path, authority, port=port, start_seconds=2 * UNIT):
                pass


STARTS = """#!/bin/sh
[ "$1" != -h ] || { echo mosquitto version 2.0.11; exit 3; }
[ -e started ] || { touch started; echo "Error: Address already in use" >&2; exit 1; }
echo "Warning: Mosquitto should not be run as root" >&2
touch started-again
exec sleep 60
"""


async def test_the_reason_is_that_of_an_attempt_that_ended(tmp_path: Path) -> None:
    """The second one has logged a warning, and is neither up nor over at the deadline."""
    program = tmp_path / "mosquitto"
    program.write_text(STARTS)
    program.chmod(0o755)
    place = tmp_path / "broker"
    opening = open_managed_broker(
        str(program), place, {}, listening=tmp_path / "socket", start_seconds=2 * UNIT
    )
    with pytest.raises(BrokerNotStarted, match="Address already in use"):
        async with opening:
            pass
    assert (place / "started-again").exists()


async def test_what_is_no_mosquitto_is_reported(tmp_path: Path) -> None:
    with pytest.raises(BrokerMissing, match="no mosquitto"):
        find_mosquitto(str(tmp_path))
    old = tmp_path / "mosquitto"
    old.write_text("#!/bin/sh\necho mosquitto version 1.6.12\nexit 3\n")
    old.chmod(0o755)
    with pytest.raises(BrokerMissing, match="older than version 2"):
        await check_version(find_mosquitto(str(tmp_path)))


CONFIGURATION = "user root\nlistener 0 socket\nallow_anonymous true\n"

PARENT = """
import asyncio, sys
from pathlib import Path
from broker.client import BrokerAddress, open_client_hub
from broker.managed import find_mosquitto, open_managed_broker

async def main():
    directory = Path(sys.argv[1])
    files = {"mosquitto.conf": sys.argv[2]}
    program = find_mosquitto()
    listening = directory / "socket"
    broker = BrokerAddress(host="", port=0, client_id="server", tls=None, socket=listening)
    async with (
        open_managed_broker(program, directory, files, listening=listening) as managed,
        open_client_hub(broker) as hub,
    ):
        await hub.wait_attached()
        print(managed.pid, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_it_ends_with_a_server_that_is_killed(tmp_path: Path) -> None:
    parent = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PARENT, str(tmp_path), CONFIGURATION),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert parent.stdout is not None
        async with asyncio.timeout(DEADLINE):
            pid = int(await parent.stdout.readline())
        assert is_running(pid)
    finally:
        parent.kill()
        await parent.wait()
    await until(lambda: not is_running(pid))


async def test_one_that_was_left_over_is_ended_at_the_next_start(tmp_path: Path) -> None:
    program = find_mosquitto()
    configuration = tmp_path / "mosquitto.conf"
    configuration.write_text(CONFIGURATION)
    (tmp_path / "state").mkdir()
    # No child of the loop: the first that waits for the end of a child takes it from the others.
    left_over = subprocess.Popen(  # noqa: ASYNC220
        (program, "-c", str(configuration)), cwd=tmp_path, stderr=subprocess.DEVNULL
    )
    try:
        (tmp_path / "mosquitto.pid").write_text(f"{left_over.pid}\n")
        files = {"mosquitto.conf": CONFIGURATION}
        listening = tmp_path / "socket"
        async with open_managed_broker(program, tmp_path, files, listening=listening) as managed:
            assert not is_running(left_over.pid)
            assert is_running(managed.pid or 0)
    finally:
        left_over.kill()
        left_over.wait(DEADLINE)


async def test_another_process_of_that_number_is_left_alone(tmp_path: Path) -> None:
    program = find_mosquitto()
    (tmp_path / "mosquitto.pid").write_text(f"{os.getpid()}\n")
    files = {"mosquitto.conf": CONFIGURATION}
    listening = tmp_path / "socket"
    async with open_managed_broker(program, tmp_path, files, listening=listening) as managed:
        assert is_running(managed.pid or 0)
