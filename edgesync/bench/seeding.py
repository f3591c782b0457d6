"""Nodes with certificates for a benchmark, in the database before its server starts.

An activation takes the server 5 ms, which is measured by itself; these take half a millisecond.
"""

import asyncio
import json
import secrets
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from certs.authority import Authority
from certs.keys import key_digest, key_pem, new_private_key
from cloud.config import Settings
from cloud.core.certificate import NodeCertificate
from cloud.core.names import node_id
from cloud.core.node import Node, NodeSpec
from cloud.opening import Keys, open_keys, open_store
from cloud.store.transaction import Transaction
from edgesync.bench.nodes import NODES_FILE, ROOT_FILE

NAMESPACE = "default"
LABELS = {"fleet": "bench"}

_GROUP = 1000


def seed(data: Path, url: str, nodes: int, directory: Path) -> None:
    """Put so many *nodes* into the database of a server that is to start with *data*.

    The database is at *url*, or in *data*. What the nodes need to connect is written to
    *directory*. They share a key, which the server cannot know.
    """
    now, settings = datetime.now(UTC), Settings(data_dir=data, database=url)
    keys = open_keys(settings, now=now, ca_passphrase=None)
    directory.mkdir()
    (directory / ROOT_FILE).write_text(keys.authority.root_pem)
    names = [f"sn-{number}" for number in range(nodes)]
    (directory / NODES_FILE).write_text(json.dumps([node_id(NAMESPACE, name) for name in names]))
    certificates = _certificates(keys.authority, names, directory, now)
    asyncio.run(_put_all(settings, keys, list(zip(names, certificates, strict=True)), now))


async def _put_all(
    settings: Settings, keys: Keys, nodes: Sequence[tuple[str, NodeCertificate]], now: datetime
) -> None:
    async with open_store(settings, sealer=keys.sealer, witness=keys.witness) as store:
        for start in range(0, len(nodes), _GROUP):
            group = nodes[start : start + _GROUP]
            await store.write(lambda tx, group=group: _put(tx, group, now))  # type: ignore[misc]


def _put(tx: Transaction, group: Sequence[tuple[str, NodeCertificate]], now: datetime) -> None:
    for name, certificate in group:
        tx.put_node(Node(NAMESPACE, name, NodeSpec(labels=LABELS), now, now))
        tx.put_certificate(certificate)


def _certificates(
    authority: Authority, names: Sequence[str], directory: Path, now: datetime
) -> Iterator[NodeCertificate]:
    """A certificate for each of *names*, each with the key in a file of its own."""
    key = new_private_key()
    private, public, digest = key_pem(key), key.public_key(), key_digest(key.public_key())
    for number, name in enumerate(names):
        identity = node_id(NAMESPACE, name)
        issued = authority.issue_node(public, identity, now=now, serial=secrets.randbits(120) + 1)
        pem = private + issued.certificate_pem.encode()
        (directory / f"{number}.pem").write_bytes(pem)
        yield NodeCertificate(issued.serial, identity, now, issued.not_after, key=digest)
