"""Which certificates are on the list, and who may come in."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from cloud.core.certificate import NodeCertificate
from cloud.core.installation import InstallToken, TargetKind
from cloud.core.node import NodeSpec
from cloud.core.revocation import KEPT_AFTER_EXPIRY, RevocationList
from cloud.operations.admission import bind_key, may_connect, needs_key
from cloud.operations.nodes import create_node, delete_node, revoke_node
from cloud.operations.revocation import next_list, revoke_access
from cloud.store.transaction import Store, Transaction
from tests.operations.conftest import LATER, NAMESPACE, NOW

DAY = timedelta(days=1)


def add(tx: Transaction, name: str, *serials: int, ends: datetime = NOW + DAY) -> None:
    create_node(tx, NAMESPACE, name, NodeSpec(), now=NOW)
    for serial in serials:
        tx.put_certificate(NodeCertificate(serial, f"{NAMESPACE}.{name}", NOW, ends))


async def comes_in(store: Store, node_id: str, serial: int) -> bool:
    return await store.read(lambda tx: may_connect(tx, node_id, serial, "", now=LATER))


async def listed(store: Store, now: datetime) -> RevocationList:
    return await store.write(lambda tx: next_list(tx, now=now))


async def test_a_certificate_without_a_key_on_record_is_bound_to_the_first_that_comes(
    store: Store,
) -> None:
    await store.write(lambda tx: add(tx, "n1", 1))
    node = f"{NAMESPACE}.n1"

    async def admits(key: str) -> bool:
        return await store.read(lambda tx: may_connect(tx, node, 1, key, now=LATER))

    assert await store.read(lambda tx: needs_key(tx, 1))
    assert await admits("mine")
    for key in ("mine", "another"):
        await store.write(lambda tx, key=key: bind_key(tx, 1, key))  # type: ignore[misc]
    assert not await store.read(lambda tx: needs_key(tx, 1))
    assert (await admits("mine"), await admits("another")) == (True, False)
    assert not await store.read(lambda tx: needs_key(tx, 2))
    await store.write(lambda tx: bind_key(tx, 2, "mine"))


@pytest.mark.parametrize(
    "work",
    [
        lambda tx: revoke_node(tx, NAMESPACE, "n1", now=LATER),
        lambda tx: delete_node(tx, NAMESPACE, "n1", now=LATER),
        lambda tx: revoke_access(tx, NAMESPACE, "n1", now=LATER),
    ],
    ids=["revoke", "delete", "take back"],
)
async def test_all_certificates_of_the_node_and_of_no_other_are_taken_back(
    store: Store, work: Callable[[Transaction], object]
) -> None:
    def prepare(tx: Transaction) -> None:
        add(tx, "n1", 1, 2)
        add(tx, "n2", 3)
        token = InstallToken("d", NAMESPACE, TargetKind.NODE, "n1", NOW, NOW + DAY)
        tx.put_install_token(token)

    await store.write(prepare)
    assert await comes_in(store, "default.n1", 2)
    await store.write(work)
    found = await listed(store, LATER)
    assert {(one.serial, one.revoked) for one in found.revoked} == {(1, LATER), (2, LATER)}
    assert not await comes_in(store, "default.n1", 1)
    assert not await comes_in(store, "default.n1", 2)
    assert await comes_in(store, "default.n2", 3)
    assert await store.read(lambda tx: tx.install_token("d")) is None


async def test_only_what_is_revoked_counts_as_a_change_and_lists_are_numbered(store: Store) -> None:
    await store.write(lambda tx: add(tx, "n1", 1))
    first = await listed(store, NOW)
    await store.write(lambda tx: revoke_node(tx, NAMESPACE, "n1", now=NOW))
    second = await listed(store, NOW)
    await store.write(lambda tx: revoke_node(tx, NAMESPACE, "n1", now=NOW))
    third = await listed(store, NOW)
    assert [one.number for one in (first, second, third)] == [1, 2, 3]
    assert first.changes < second.changes == third.changes
    assert first.issued < second.issued < third.issued


async def test_an_entry_goes_a_while_after_its_certificate_ended(store: Store) -> None:
    await store.write(lambda tx: add(tx, "n1", 1, ends=NOW + DAY))
    await store.write(lambda tx: revoke_node(tx, NAMESPACE, "n1", now=NOW))
    end = NOW + DAY + KEPT_AFTER_EXPIRY
    assert len((await listed(store, end - timedelta(seconds=1))).revoked) == 1
    assert len((await listed(store, end)).revoked) == 0
