"""Another certificate for a node, from the real authority, on record in the real store."""

from datetime import datetime, timedelta
from itertools import count

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from certs.authority import Authority
from certs.keys import PublicKey, key_digest, new_private_key
from cloud.core.certificate import NodeCertificate
from cloud.core.node import NodeSpec
from cloud.core.renewal import KEY_LIMIT
from cloud.errors import CloudError, Denied, Forbidden, NotFound
from cloud.operations.activation import ActivatingDevice, Activation, certify
from cloud.operations.nodes import create_node, delete_node
from cloud.operations.renewal import come_back, renew, renew_shown, returning_node
from cloud.store.transaction import Store, Transaction
from tests.operations.conftest import NAMESPACE, NOW

NODE = f"{NAMESPACE}.n1"
DAY = timedelta(days=1)
GRACE = 30 * DAY
AUTHORITY, _ = Authority.create("test", now=NOW - 200 * DAY, serials=(1, 2))
SERIALS = count(100)
KEY = new_private_key().public_key()


def device(key: PublicKey = KEY) -> ActivatingDevice:
    return ActivatingDevice(key, key_digest(key), "192.0.2.1")


async def certified(
    store: Store, *, key: PublicKey = KEY, at: datetime = NOW, name: str = "n1"
) -> int:
    """Serial of a certificate given out at that time; the node is made if it is not there."""

    def work(tx: Transaction) -> int:
        if tx.node(NAMESPACE, name) is None:
            create_node(tx, NAMESPACE, name, NodeSpec(), now=at)
        serial = next(SERIALS)
        certify(tx, AUTHORITY, NAMESPACE, name, device(key), at, serial)
        return serial

    return await store.write(work)


async def renewed(
    store: Store, key: PublicKey = KEY, *, at: datetime = NOW, node: str = NODE
) -> Activation:
    serial = next(SERIALS)
    return await store.write(
        lambda tx: renew(tx, AUTHORITY, node, device(key), now=at, serial=serial)
    )


async def returned(
    store: Store, ended: int, key: PublicKey = KEY, *, at: datetime, grace: timedelta = GRACE
) -> Activation:
    serial = next(SERIALS)
    return await store.write(
        lambda tx: come_back(tx, AUTHORITY, ended, device(key), grace=grace, now=at, serial=serial)
    )


async def live(store: Store, at: datetime = NOW) -> list[NodeCertificate]:
    return list(await store.read(lambda tx: tx.live_certificates(NODE, at)))


async def test_the_new_certificate_is_for_the_node_and_on_record_beside_the_old_one(
    store: Store,
) -> None:
    old, key = await certified(store), new_private_key().public_key()
    answer = await renewed(store, key, at=NOW + 60 * DAY)
    certificate = x509.load_pem_x509_certificate(answer.certificate_pem.encode())
    [name] = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    assert (name.value, certificate.public_key()) == (NODE, key)
    certificate.verify_directly_issued_by(
        x509.load_pem_x509_certificate(answer.issuer_pem.encode())
    )
    serials = [kept.serial for kept in await live(store, NOW + 61 * DAY)]
    assert serials == [old, certificate.serial_number]
    assert (await live(store, NOW + 61 * DAY))[1].key == key_digest(key)
    later = await live(store, NOW + 91 * DAY)
    assert [kept.serial for kept in later] == [certificate.serial_number]


async def test_who_has_no_certificate_that_is_valid_renews_nothing(store: Store) -> None:
    await certified(store)
    with pytest.raises(Denied):
        await renewed(store, at=NOW + 90 * DAY)
    await store.write(lambda tx: tx.revoke_certificates(NODE, NOW))
    with pytest.raises(Denied):
        await renewed(store)
    await store.write(lambda tx: delete_node(tx, NAMESPACE, "n1", now=NOW))
    with pytest.raises(NotFound):
        await renewed(store)
    assert await live(store) == []


async def test_what_was_shown_has_to_admit_even_where_another_would(store: Store) -> None:
    taken_back = await certified(store)
    await store.write(lambda tx: tx.revoke_certificates(NODE, NOW))
    good, other = await certified(store), await certified(store, name="n2")

    async def shown(serial: int, at: datetime = NOW, key: str = "") -> None:
        new = next(SERIALS)
        recorded = await store.read(lambda tx: tx.certificate(serial))
        own = key or (recorded.key if recorded else "")
        await store.write(
            lambda tx: renew_shown(tx, AUTHORITY, NODE, (serial, own), device(), now=at, serial=new)
        )

    await shown(good)
    with pytest.raises(Denied):
        await shown(good, key="another")
    for serial in (taken_back, other, 2**150):
        with pytest.raises(Denied):
            await shown(serial)
    with pytest.raises(Denied):
        await shown(good, NOW + 90 * DAY)


async def test_a_node_has_few_keys_at_a_time_and_none_is_taken_back_for_another(
    store: Store,
) -> None:
    first = await certified(store)
    for _ in range(KEY_LIMIT - 1):
        await renewed(store, new_private_key().public_key())
    with pytest.raises(Forbidden, match="keys"):
        await renewed(store, new_private_key().public_key())
    assert len(await live(store)) == KEY_LIMIT
    assert (await live(store))[0].serial == first
    await renewed(store)  # a key it has


@pytest.mark.parametrize("days", [10, 90, 119])
async def test_the_owner_of_a_key_comes_back_within_the_grace_period(
    store: Store, days: int
) -> None:
    ended, at = await certified(store), NOW + days * DAY
    digest = key_digest(KEY)
    found = await store.read(lambda tx: returning_node(tx, ended, digest, grace=GRACE, now=at))
    assert found == NODE
    answer = await returned(store, ended, at=at)
    assert (answer.namespace, answer.node_name) == (NAMESPACE, "n1")
    assert len(await live(store, at + DAY)) == (2 if days < 89 else 1)


async def test_every_other_certificate_is_refused(store: Store) -> None:
    ended, at = await certified(store), NOW + 100 * DAY
    refused: list[tuple[CloudError, str]] = []

    async def refuse(serial: int, key: PublicKey = KEY, when: datetime = at) -> str:
        with pytest.raises(Denied) as caught:
            await returned(store, serial, key, at=when)
        refused.append((caught.value, str(caught.value)))
        return caught.value.reason

    wrong_key = await refuse(ended, new_private_key().public_key())
    assert await refuse(2**150) == wrong_key  # which discloses no serial numbers
    assert "ended more than 30 days ago" in await refuse(ended, when=NOW + 120 * DAY)
    without_digest = NodeCertificate(7, NODE, NOW, NOW + DAY)
    await store.write(lambda tx: tx.put_certificate(without_digest))
    assert await refuse(7) == wrong_key
    await store.write(lambda tx: delete_node(tx, NAMESPACE, "n1", now=NOW))
    assert await refuse(ended) == wrong_key  # taken back with its node
    await store.write(lambda tx: create_node(tx, NAMESPACE, "n1", NodeSpec(), now=NOW))
    assert await refuse(ended) == wrong_key
    assert await live(store, at) == []


async def test_a_certificate_whose_node_is_gone_renews_nothing(store: Store) -> None:
    ended = await certified(store)
    await store.write(lambda tx: tx.delete_node(NAMESPACE, "n1"))
    with pytest.raises(Denied, match="gone"):
        await returned(store, ended, at=NOW)
