"""Everybody who should not come in knocks at every door that asks for a certificate.

The doors: the hub, the HTTPS link, renewal on the activation port, and a Mosquitto that reads the
list of what is revoked.
"""

import json
import os
import ssl
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from certs import profiles
from certs.authority import Authority
from certs.files import load_authority, load_or_create_authority
from certs.keys import SigningKey, key_pem, new_private_key
from tests.broker.node import connect_packet
from tests.end_to_end.conftest import (
    Identity,
    Server,
    activate,
    make_batch,
    make_csr,
    running_server,
    wait_for,
)
from tests.end_to_end.mosquitto import (
    PROGRAM,
    MosquittoServer,
    connack,
    exchange,
    running_mosquitto,
)

NOW = datetime.now(UTC)
DAY = timedelta(days=1)
GOOD = "default.good"

Door = Callable[[ssl.SSLContext, str], bool]
"""Whether a client with that context and that client id is admitted."""


@dataclass
class AttackedWorld:
    """A server and a Mosquitto, the authority of both, and its nodes."""

    server: Server
    mosquitto: MosquittoServer | None
    crl: Path
    folder: Path
    authority: Authority
    nodes: dict[str, Identity]

    def door(self, name: str) -> Door:
        match name:
            case "hub":
                return partial(mqtt, self.server.mqtt_port)
            case "mosquitto":
                assert self.mosquitto is not None
                return partial(mqtt, self.mosquitto.port)
            case "sync":
                body = b'{"apps": []}'
                return partial(https, port_of(self.server.sync), "/v1/sync/report", body)
            case _:
                body = json.dumps({"csr": make_csr()[1]}).encode()
                return partial(https, port_of(self.server.activation), "/v1/renew", body)

    def have_broker_read(self, revoked: Sequence[Identity]) -> None:
        """Wait until Mosquitto knows that these are."""
        assert self.mosquitto is not None
        door, serials = self.door("mosquitto"), {serial_of(node) for node in revoked}
        wait_for(lambda: serials <= serials_of(self.crl), "the list")
        self.mosquitto.reload()

        def are_refused() -> bool:
            return not any(door(node.context(), node.node_id) for node in revoked)

        wait_for(are_refused, "the broker to read it")

    def context(self, certificate: bytes, key: bytes, name: str = "attacker") -> ssl.SSLContext:
        """Of a client with these, PEM, that trusts the server."""
        file = self.folder / f"{name}.pem"
        file.write_bytes(key + certificate)
        context = ssl.create_default_context(cafile=self.server.ca)
        context.load_cert_chain(file)
        return context

    def certified(
        self,
        by: Authority,
        name: str = GOOD,
        *,
        now: datetime = NOW,
        serial: int | None = None,
    ) -> ssl.SSLContext:
        """Of a client that *by* gave a certificate to, by default with a serial of its own."""
        key = new_private_key()
        number = serial or x509.random_serial_number()
        issued = by.issue_node(key.public_key(), name, now=now, serial=number)
        return self.context(issued.certificate_pem.encode(), key_pem(key))


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


def mqtt(port: int, context: ssl.SSLContext, client_id: str) -> bool:
    return connack(port, context, client_id) == 0


def https(port: int, path: str, body: bytes, context: ssl.SSLContext, _: str) -> bool:
    return exchange(port, context, request(path, body))[0].startswith(b"HTTP/1.1 200")


def request(path: str, body: bytes) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    return head.encode() + f"Content-Length: {len(body)}\r\n\r\n".encode() + body


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AttackedWorld]:
    folder, broker = (tmp_path_factory.mktemp(name) for name in ("attackers", "mosquitto"))
    crl = broker / "crl.pem"
    # Older than a node's certificate lasts, so that expired ones can be made.
    load_or_create_authority(folder / "data" / "ca", now=NOW - 200 * DAY)
    with running_server(folder / "data", "--crl-file", str(crl)) as server:
        with server.client() as api:
            batch = make_batch(api, quotaNum=100)
            names = ("good", "other", "gone", "shut", *resumers())
            nodes = {name: activate(server, batch, name) for name in names}
        ca = Path(server.ca).parent
        authority = load_authority(ca)
        made = AttackedWorld(server, None, crl, folder, authority, nodes)
        wait_for(crl.exists, "the list")
        if PROGRAM is None:
            revoke_all(made)
            yield made
            return
        with running_mosquitto(broker, ca, authority.trusted_pem) as made.mosquitto:
            revoke_all(made)
            made.have_broker_read([nodes["gone"], nodes["shut"]])
            yield made


def revoke_all(world: AttackedWorld) -> None:
    with world.server.client() as api:
        assert api.post("/v1/nodes/shut/revoke").status_code == 200
        assert api.delete("/v1/nodes/gone").status_code == 200


def serial_of(identity: Identity) -> int:
    return x509.load_pem_x509_certificate(identity.cert.read_bytes()).serial_number


def serials_of(crl: Path) -> set[int]:
    return {one.serial_number for one in x509.load_pem_x509_crl(crl.read_bytes())}


def foreign_authority(world: AttackedWorld) -> ssl.SSLContext:
    """Name and serial number are right, and even the authority calls itself the same."""
    label = world.authority.root.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value
    foreign, _ = Authority.create(str(label).rpartition(" ")[2], now=NOW, serials=(1, 2))
    return world.certified(foreign, serial=serial_of(world.nodes["good"]))


def self_signed(world: AttackedWorld) -> ssl.SSLContext:
    key = new_private_key()
    name = x509.load_pem_x509_certificate(world.nodes["good"].cert.read_bytes()).subject
    itself = profiles.Issuer(name, profiles.key_identifier(key.public_key()), NOW + DAY)
    builder = profiles.node(key.public_key(), GOOD, itself, now=NOW, serial=7)
    certificate = builder.sign(key, hashes.SHA256())
    return world.context(certificate.public_bytes(Encoding.PEM), key_pem(key))


def expired(world: AttackedWorld) -> ssl.SSLContext:
    return world.certified(world.authority, now=NOW - 100 * DAY)


def not_yet_valid(world: AttackedWorld) -> ssl.SSLContext:
    return world.certified(world.authority, now=NOW + DAY)


def revoked(world: AttackedWorld) -> ssl.SSLContext:
    return world.nodes["shut"].context()


def deleted(world: AttackedWorld) -> ssl.SSLContext:
    return world.nodes["gone"].context()


def server_certificate(world: AttackedWorld) -> ssl.SSLContext:
    ca = Path(world.server.ca).parent
    return world.context((ca / "server.pem").read_bytes(), (ca / "server.key").read_bytes())


def intermediate_itself(world: AttackedWorld) -> ssl.SSLContext:
    return world.context(
        world.authority.intermediate.public_bytes(Encoding.PEM), key_pem(world.authority.key)
    )


def root_itself(world: AttackedWorld) -> ssl.SSLContext:
    key = load_pem_private_key((Path(world.server.ca).parent / "root.key").read_bytes(), None)
    assert isinstance(key, SigningKey)
    return world.context(world.authority.root.public_bytes(Encoding.PEM), key_pem(key))


def signed_but_never_given_out(world: AttackedWorld) -> ssl.SSLContext:
    """An attacker has the intermediate's key; the serial number is unknown to the server."""
    return world.certified(world.authority)


def known_serial_with_another_key(world: AttackedWorld) -> ssl.SSLContext:
    """An attacker has the intermediate's key and the serial number of a node's certificate."""
    return world.certified(world.authority, serial=serial_of(world.nodes["good"]))


def without_a_certificate(world: AttackedWorld) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=world.server.ca)


ATTACKERS = {
    attacker.__name__: (attacker, name)
    for attacker, name in (
        (foreign_authority, GOOD),
        (self_signed, GOOD),
        (expired, GOOD),
        (not_yet_valid, GOOD),
        (revoked, "default.shut"),
        (deleted, "default.gone"),
        (server_certificate, GOOD),
        (intermediate_itself, GOOD),
        (root_itself, GOOD),
        (signed_but_never_given_out, GOOD),
        (known_serial_with_another_key, GOOD),
        (without_a_certificate, GOOD),
    )
}
NEEDS_MOSQUITTO = [
    pytest.mark.mosquitto,
    pytest.mark.skipif(
        PROGRAM is None and "CI" not in os.environ, reason="mosquitto is not installed"
    ),
]
MOSQUITTO = pytest.param("mosquitto", marks=NEEDS_MOSQUITTO)
DOORS = ["hub", "sync", "activation", MOSQUITTO]


@pytest.mark.parametrize("attacker", ATTACKERS)
@pytest.mark.parametrize("door", DOORS)
def test_no_attacker_gets_in(world: AttackedWorld, door: str, attacker: str) -> None:
    """But for what the intermediate signed: a broker does not know what was given out."""
    knocks, name = ATTACKERS[attacker]
    signed = {"signed_but_never_given_out", "known_serial_with_another_key"}
    comes_in = door == "mosquitto" and attacker in signed
    assert world.door(door)(knocks(world), name) is comes_in


@pytest.mark.parametrize("door", DOORS)
def test_a_good_node_comes_in_by_every_door(world: AttackedWorld, door: str) -> None:
    assert world.door(door)(world.nodes["good"].context(), GOOD)


def test_another_nodes_certificate_is_no_way_to_a_client_id(world: AttackedWorld) -> None:
    """Over HTTPS there is no client id to claim; Mosquitto takes the certificate's name for it."""
    assert not world.door("hub")(world.nodes["other"].context(), GOOD)
    assert world.door("hub")(world.nodes["other"].context(), "default.other")


VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


def resumers() -> list[str]:
    doors = ("hub", "sync", "activation", "mosquitto")
    return [resumer(door, version) for door in doors for version in VERSIONS]


def resumer(door: str, version: str) -> str:
    return f"resumes-{door}-{version}".replace(".", "-")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("door", DOORS)
def test_a_session_of_before_is_no_way_in_after_revocation(
    world: AttackedWorld, door: str, version: str
) -> None:
    node = world.nodes[resumer(door, version)]
    context = node.context()
    context.minimum_version = context.maximum_version = VERSIONS[version]
    knock = world.door(door)
    assert isinstance(knock, partial)
    if door in {"hub", "mosquitto"}:
        ask = partial(mqtt_answer, knock.args[0], context, node.node_id)
    else:
        ask = partial(exchange, knock.args[0], context, request(*knock.args[1:]))
    answer, session = ask()
    assert is_welcome(answer)
    with world.server.client() as api:
        api.post(f"/v1/nodes/{node.name}/revoke")
    if door == "mosquitto":
        world.have_broker_read([node])
    assert session is not None
    assert not is_welcome(ask(session=session)[0])


def mqtt_answer(
    port: int, context: ssl.SSLContext, client_id: str, session: ssl.SSLSession | None = None
) -> tuple[bytes, ssl.SSLSession | None]:
    return exchange(port, context, connect_packet(client_id), session)


def is_welcome(answer: bytes) -> bool:
    return answer.startswith((b"\x20\x02\x00\x00", b"HTTP/1.1 200"))
