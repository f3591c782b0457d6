"""The file of revoked certificates, and what is called once it is written."""

import asyncio
import functools
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509

from certs.files import load_or_create_authority
from cloud.core.certificate import NodeCertificate
from cloud.core.node import Node, NodeSpec
from cloud.jobs.revocation_lists import RevocationLists
from cloud.operations.revocation import revoke_access
from cloud.store.transaction import Store, Transaction

NOW = datetime.now(UTC)


def describe(tx: Transaction) -> None:
    for number, name in enumerate(("n1", "n2"), start=1):
        tx.put_node(Node("default", name, NodeSpec(), NOW, NOW))
        tx.put_certificate(NodeCertificate(number, f"default.{name}", NOW, NOW + timedelta(days=9)))


@asynccontextmanager
async def running(lists: RevocationLists) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(lists.run())
        yield
        task.cancel()


def revoke(name: str, tx: Transaction) -> None:
    revoke_access(tx, "default", name, now=NOW)


def serials(file: Path) -> set[int]:
    return {one.serial_number for one in x509.load_pem_x509_crl(file.read_bytes())}


async def test_what_was_revoked_is_in_the_file_when_it_is_passed_on(
    store: Store, tmp_path: Path
) -> None:
    await store.write(describe)
    file = tmp_path / "crl.pem"
    authority = load_or_create_authority(tmp_path / "ca", now=NOW)
    lists = RevocationLists(store, authority, lambda: NOW, file)
    written: asyncio.Queue[tuple[set[str], set[int]]] = asyncio.Queue()

    async def on_written(node_ids: Collection[str]) -> None:
        written.put_nowait((set(node_ids), serials(file)))

    lists.on_written = on_written
    async with asyncio.timeout(10), running(lists):
        assert await written.get() == (set(), set())
        for name, listed in (("n1", {1}), ("n2", {1, 2})):
            await store.write(functools.partial(revoke, name))
            lists.wake(f"default.{name}")
            nodes, found = await written.get()
            while not nodes:  # the list may be written before the node is named
                nodes, found = await written.get()
            assert (nodes, found) == ({f"default.{name}"}, listed)


async def test_a_node_that_is_on_the_list_already_is_passed_on(
    store: Store, tmp_path: Path
) -> None:
    await store.write(describe)
    authority = load_or_create_authority(tmp_path / "ca", now=NOW)
    lists = RevocationLists(store, authority, lambda: NOW, tmp_path / "crl.pem")
    written: asyncio.Queue[set[str]] = asyncio.Queue()

    async def on_written(node_ids: Collection[str]) -> None:
        written.put_nowait(set(node_ids))

    lists.on_written = on_written
    await store.write(functools.partial(revoke, "n1"))
    async with asyncio.timeout(10), running(lists):
        assert await written.get() == set()
        lists.wake("default.n1")
        assert await written.get() == {"default.n1"}
