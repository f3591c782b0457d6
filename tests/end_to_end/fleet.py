"""Nodes whose certificates are older than the test: made in the data directory before the start."""

import itertools
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from certs.files import load_or_create_authority
from certs.keys import key_digest, key_pem, new_private_key
from cloud.core.node import NodeSpec
from cloud.operations.activation import ActivatingDevice, certify
from cloud.operations.nodes import create_node
from tests.builders import open_store
from tests.end_to_end.conftest import Identity

DAY = timedelta(days=1)
SERIALS = itertools.count(1000)


async def make_past(data: Path, ages: dict[str, int]) -> dict[str, Identity]:
    """A server's data directory with nodes, each certified so many days ago."""
    now = datetime.now(UTC)
    authority = load_or_create_authority(data / "ca", now=now - 1000 * DAY)
    made = {}
    async with open_store(data) as store:
        for name, age in ages.items():
            key, at = new_private_key(), now - age * DAY
            device = ActivatingDevice(key.public_key(), key_digest(key.public_key()), "")

            def certified(tx, name=name, device=device, at=at):  # type: ignore[no-untyped-def]
                create_node(tx, "default", name, NodeSpec(), now=at)
                return certify(tx, authority, "default", name, device, at, next(SERIALS))

            pem = (await store.write(certified)).certificate_pem
            made[name] = keep(data.parent / "devices" / name, name, key, pem, authority.root_pem)
    return made


def keep(
    folder: Path, name: str, key: ec.EllipticCurvePrivateKey, certificate: str, ca: str
) -> Identity:
    """The files of a device."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "key.pem").write_bytes(key_pem(key))
    (folder / "cert.pem").write_text(certificate)
    (folder / "ca.pem").write_text(ca)
    return Identity(name, folder / "ca.pem", folder / "cert.pem", folder / "key.pem")


async def age_certificate(data: Path, pem: str, age: int) -> str:
    """A certificate for the node and key of *pem*, given out so many days ago."""
    old = x509.load_pem_x509_certificate(pem.encode())
    [name] = old.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    namespace, _, node = str(name.value).partition(".")
    authority = load_or_create_authority(data / "ca", now=datetime.now(UTC))
    key: Any = old.public_key()
    device, at = ActivatingDevice(key, key_digest(key), ""), datetime.now(UTC) - age * DAY
    async with open_store(data) as store:
        issued = await store.write(
            lambda tx: certify(tx, authority, namespace, node, device, at, next(SERIALS))
        )
    return issued.certificate_pem
