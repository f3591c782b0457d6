"""Ten years of a server and its nodes, day by day, on a clock that the test moves.

What is real: the store on disk, the authority on disk and its rollover, the server's certificate,
what renews over MQTT (`Exchange`) and on the activation port (the whole web application), who may
connect (`may_connect`), and on the nodes' side the simulated node's own rules: when it renews,
what it believes, its files, its requests.

What is not: no socket is opened, as OpenSSL checks certificates by the real clock. Each side's
certificate is verified at the moved clock by the verifier of the package `cryptography` instead,
against what the listeners would trust. Nodes look once a day whether it is time, and are seen to
connect once a fortnight and after each change.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, VerificationError
from cryptography.x509.verification import Store as Trusted

from agent_sim.activation import signing_request
from agent_sim.errors import ActivationRefused
from agent_sim.renewal import checked, renew_by_key, renewal_time
from agent_sim.state import NodeDirectory, NodeIdentity
from broker.messages import Encoding, Message
from broker.topics import Channel
from certs.authority import Authority
from certs.files import ensure_server_certificate, load_or_create_authority
from certs.keys import certificate_key_digest
from certs.profiles import NODE_LIFETIME
from certs.succession import rotate
from cloud.core.node import NodeSpec
from cloud.core.renewal import RATE
from cloud.http.limits import UNLIMITED, Limiter
from cloud.http.refusals import RefusalLog
from cloud.link.activation_throttle import ActivationThrottle
from cloud.link.exchange import Exchange
from cloud.link.http import activation_app
from cloud.link.installer import ServerAddress
from cloud.link.measures import Measures
from cloud.link.renewal import Renewals
from cloud.link.services import LinkServices
from cloud.operations.admission import may_connect
from cloud.operations.installation import offer_node
from cloud.operations.nodes import create_node
from cloud.store.transaction import Store
from tests.builders import open_store

BEGIN = datetime(2027, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
YEAR = 365 * DAY
GRACE = YEAR
HOST = "sync.example.com"


@dataclass
class AgedServer:
    """What one start of the server consists of; the clock is the test's."""

    store: Store
    folder: Path
    now: datetime = BEGIN
    server_certificates: set[int] = field(default_factory=set)

    def start(self) -> None:
        self.authority: Authority = load_or_create_authority(self.folder, now=self.now)
        renewals = Renewals(
            self.store,
            self.authority,
            clock=self.clock,
            new_serial=x509.random_serial_number,
            grace=GRACE,
            count=Limiter(RATE, lambda: self.now.timestamp()).take,
            refusals=RefusalLog(self.store, lambda: self.now.timestamp()),
        )
        self.exchange = Exchange(self.store, self.clock, renew=renewals.over_mqtt)
        services = LinkServices(
            store=self.store,
            authority=self.authority,
            clock=self.clock,
            new_id=lambda: "id",
            new_serial=x509.random_serial_number,
            default_namespace="default",
            disconnect=lambda _node: None,
            wake_callbacks=lambda: None,
            refusals=RefusalLog(self.store, lambda: self.now.timestamp()),
            measures=Measures(),
        )
        app = activation_app(
            services,
            server_generated_keys=False,
            address=ServerAddress("", "", 0),
            public=(),
            limiter=UNLIMITED,
            throttle=ActivationThrottle(self.store, None, lambda: 0.0, lambda: self.now),
            renewals=renewals,
        )
        self.client = httpx.AsyncClient(
            transport=httpx.ASGITransport(app, raise_app_exceptions=False),
            base_url=f"https://{HOST}",
        )

    def clock(self) -> datetime:
        return self.now

    def certificate(self) -> tuple[x509.Certificate, list[x509.Certificate]]:
        """What the listeners show today, and its chain."""
        files = ensure_server_certificate(self.folder, self.authority, [HOST], [], now=self.now)
        first, *chain = x509.load_pem_x509_certificates(files.certificate_file.read_bytes())
        self.server_certificates.add(first.serial_number)
        return first, chain

    async def lets_in(self, identity: NodeIdentity) -> bool:
        """The results of the handshake and the gate for a certificate."""
        certificate = x509.load_pem_x509_certificate(identity.certificate.encode())
        anchors = Trusted(x509.load_pem_x509_certificates(self.authority.trusted_pem.encode()))
        try:
            verifier = PolicyBuilder().store(anchors).time(self.now).build_client_verifier()
            verifier.verify(certificate, [])
        except VerificationError:
            return False
        serial, key = certificate.serial_number, certificate_key_digest(certificate)
        return await self.store.read(
            lambda tx: may_connect(tx, identity.node_id, serial, key, now=self.now)
        )


@dataclass
class AgedNode:
    """A node: the files and rules of a simulated one; *off* are the days it has no power."""

    name: str
    server: AgedServer
    directory: NodeDirectory
    by_mqtt: bool
    off: range = range(0)
    renewed: int = 0
    refused: int = 0
    identity: NodeIdentity = field(init=False)
    due: datetime = field(init=False)
    ends: datetime = field(init=False)

    async def activate(self) -> None:
        """Run the command that the operator took for this node."""
        server, key, token = self.server, self.directory.key(), f"token of {self.server.now}"
        await server.store.write(
            lambda tx: offer_node(tx, "default", self.name, token, now=server.now)
        )
        claim = {"installToken": token, "csr": signing_request(key, self.name)}
        answer = await server.client.post("/v1/active", json=claim)
        assert answer.status_code == 200, answer.text
        given = answer.json()["certificate"]
        root = server.authority.root_pem
        identity = NodeIdentity(f"default.{self.name}", given["cert"], root)
        checked(answer.json(), identity, key, server.now)
        self.directory.save_identity(identity)
        self.look()

    def look(self) -> None:
        found = self.directory.identity()
        assert found is not None
        self.identity = found
        certificate = x509.load_pem_x509_certificate(found.certificate.encode())
        begins, self.ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        self.due = renewal_time(found.node_id, begins, self.ends)

    async def tend(self) -> None:
        """What a node does once a day."""
        if self.server.now < self.due:
            return
        content = await self._ask() if self.by_mqtt and self.server.now < self.ends else None
        if content is None:
            key = self.directory.key()
            try:
                content = await renew_by_key(self.server.client, self.identity, key)
            except ActivationRefused:
                self.refused += 1
                return
        certificate = checked(content, self.identity, self.directory.key(), self.server.now)
        self.directory.save_renewed(certificate)
        self.look()
        self.renewed += 1
        assert await self.is_connected()
        self.directory.forget_previous()

    async def _ask(self) -> Any:
        csr = signing_request(self.directory.key(), self.name)
        message = Message("renew", {"csr": csr})
        exchange, now, node_id = self.server.exchange, self.server.now, self.identity.node_id
        question = exchange.read(node_id, Channel.RENEW, message, Encoding.JSON, now)
        answer = await exchange.ask(question)
        assert answer is not None
        return answer.content

    async def is_connected(self) -> bool:
        """Both sides take the other's certificate."""
        certificate, chain = self.server.certificate()
        anchors = Trusted([x509.load_pem_x509_certificate(self.identity.ca.encode())])
        builder = PolicyBuilder().store(anchors).time(self.server.now)
        builder.build_server_verifier(x509.DNSName(HOST)).verify(certificate, chain)
        return await self.server.lets_in(self.identity)


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[AgedServer]:
    async with open_store(path) as store:
        server = AgedServer(store, path / "ca")
        server.start()
        yield server


async def test_after_ten_years_every_node_is_connected(tmp_path: Path) -> None:
    offs = {
        "never-off": range(0),
        "off-for-a-year": range(1000, 1365),
        "off-at-the-rollover": range(2800, 3165),
        "off-for-two-years": range(2000, 2730),
    }
    async with opened(tmp_path) as server:
        nodes = []
        for number, (name, off) in enumerate(offs.items()):
            await server.store.write(
                lambda tx, name=name: create_node(tx, "default", name, NodeSpec(), now=BEGIN)  # type: ignore[misc]
            )
            directory = NodeDirectory(tmp_path / name)
            nodes.append(AgedNode(name, server, directory, by_mqtt=number % 2 == 0, off=off))
            await nodes[-1].activate()
        late = nodes[-1]
        first = server.authority.intermediate
        for day in range(3650):
            server.now = BEGIN + day * DAY
            if day == 2920:  # two years before the intermediate ends
                rotate(server.folder, now=server.now, serial=x509.random_serial_number())
                server.start()
            for node in nodes:
                if day in node.off:
                    continue
                await node.tend()
                if day == late.off.stop and node is late:
                    assert not await node.is_connected()
                    await node.activate()  # the operator's step: a new installation command
                elif day % 14 == 0:
                    assert await node.is_connected(), (node.name, day)
        assert [node.refused for node in nodes] == [0, 0, 0, 1]
        for node in nodes:
            assert await node.is_connected()
            ours = x509.load_pem_x509_certificate(node.identity.certificate.encode())
            ours.verify_directly_issued_by(server.authority.intermediate)
            assert ours.not_valid_after_utc - ours.not_valid_before_utc > NODE_LIFETIME
            days = 3650 - len(node.off)
            assert days / 70 - 3 < node.renewed < days / 60
        assert server.authority.intermediate != first
        assert 13 <= len(server.server_certificates) <= 15  # ten years, 265 days each
        # No node renews on another's day for long: the shares spread the fleet.
        assert len({node.due for node in nodes}) == len(nodes)
        keys = await server.store.read(
            lambda tx: [tx.live_keys(node.identity.node_id) for node in nodes]
        )
        assert all(len(found) == 1 for found in keys)
