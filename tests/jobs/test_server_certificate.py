"""The server's certificate changes under a listener that goes on: real TLS, files on disk."""

import asyncio
import functools
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from certs.errors import AuthorityNotValid
from certs.files import ServerCertificate, ensure_server_certificate, load_or_create_authority
from certs.tls import client_context, open_listener_context, server_context
from cloud.jobs.server_certificate import LOOK_EVERY, ServerCertificateRenewer

NOW = datetime.now(UTC)
DAY = timedelta(days=1)


class CertificateWorld:
    """An authority, a clock that is moved, and two listeners' contexts."""

    def __init__(self, folder: Path) -> None:
        self.now = NOW - 300 * DAY
        self.authority = load_or_create_authority(folder, now=self.now)
        names = ["localhost"]
        self._ensure = functools.partial(
            ensure_server_certificate, folder, self.authority, names, []
        )
        files = self.ensure(self.now)
        pair = (files.certificate_file, files.key_file)
        self.contexts = [
            server_context(*pair),
            open_listener_context(*pair, self.authority.trusted_pem),
        ]
        self.own = ServerCertificateRenewer(self.ensure, self.contexts, lambda: self.now)

    def ensure(self, now: datetime) -> ServerCertificate:
        return self._ensure(now=now)


@pytest.fixture
def world(tmp_path: Path) -> CertificateWorld:
    return CertificateWorld(tmp_path / "ca")


class Echo(asyncio.Protocol):
    """Sends back what comes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


async def serve(context: ssl.SSLContext) -> asyncio.Server:
    return await asyncio.get_running_loop().create_server(Echo, "localhost", 0, ssl=context)


async def end(writer: asyncio.StreamWriter) -> None:
    writer.close()
    await writer.wait_closed()


async def connect(
    server: asyncio.Server, world: CertificateWorld
) -> tuple[int, asyncio.StreamReader, asyncio.StreamWriter]:
    """The serial number that is shown, and the connection."""
    port = server.sockets[0].getsockname()[1]
    trust = client_context(world.authority.root_pem)
    reader, writer = await asyncio.open_connection("localhost", port, ssl=trust)
    der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    return x509.load_der_x509_certificate(der).serial_number, reader, writer


@pytest.mark.parametrize("listener", [0, 1])
async def test_new_handshakes_show_the_new_certificate_and_old_connections_go_on(
    world: CertificateWorld, listener: int
) -> None:
    async with await serve(world.contexts[listener]) as server:
        first, reader, writer = await connect(server, world)
        world.now = NOW - 37 * DAY
        assert not await world.own.check()
        again, _, other = await connect(server, world)
        await end(other)
        assert again == first
        world.now += 3 * DAY
        assert await world.own.check()
        assert not await world.own.check()
        after, _, other = await connect(server, world)
        await end(other)
        assert after != first
        writer.write(b"still here\n")
        assert await reader.readline() == b"still here\n"
        await end(writer)


async def test_a_renewal_is_passed_on_once(world: CertificateWorld) -> None:
    renewed: list[bytes] = []

    async def on_renewed() -> None:
        renewed.append(world.ensure(world.now).certificate_file.read_bytes())

    own = ServerCertificateRenewer(
        world.ensure, world.contexts, lambda: world.now, on_renewed=on_renewed
    )
    before = world.ensure(world.now).certificate_file.read_bytes()
    assert not await own.check()
    assert renewed == []
    world.now = NOW - 34 * DAY
    assert await own.check()
    assert not await own.check()
    (after,) = renewed
    assert after != before


async def test_it_looks_every_hour(world: CertificateWorld) -> None:
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        world.now += 266 * DAY
        if len(pauses) == 3:
            raise asyncio.CancelledError

    own = ServerCertificateRenewer(world.ensure, world.contexts, lambda: world.now, pause=pause)
    before = world.ensure(world.now).certificate_file.read_bytes()
    with pytest.raises(asyncio.CancelledError):
        await own.run()
    assert pauses == [LOOK_EVERY.total_seconds()] * 3
    assert world.ensure(world.now - 266 * DAY).certificate_file.read_bytes() != before


async def test_what_fails_is_logged_and_what_is_shown_stays(
    world: CertificateWorld, caplog: pytest.LogCaptureFixture
) -> None:
    begins = world.authority.intermediate.not_valid_before_utc

    def ensure(now: datetime) -> ServerCertificate:
        if now > NOW:
            raise AuthorityNotValid(begins, now)
        return world.ensure(now)

    own = ServerCertificateRenewer(ensure, world.contexts, lambda: world.now)
    world.now = NOW + DAY
    assert not await own.check()
    assert "cannot be renewed" in caplog.text
