"""Tokens that bring in a machine: who gets one, and what it opens."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cloud.core.batch import BatchSpec, Fingerprint
from cloud.core.installation import LIFETIME, LIVE_LIMIT, TargetKind, digest_of
from cloud.core.node import NodeSpec
from cloud.errors import ActivationDenied, Denied, Invalid, NotFound, OtherKey, QuotaExceeded
from cloud.operations import batches, installation, nodes, records
from cloud.operations.activation import ActivatingDevice, Activation, Claim, activate
from cloud.operations.records import RecordDraft
from cloud.store.transaction import Store, Transaction
from tests.operations.conftest import NAMESPACE, NOW


@dataclass
class InstallationIssued:
    serial: int
    not_after: datetime
    certificate_pem: str
    issuer_pem: str = "the issuer"


class InstallationAuthority:
    def issue_node(
        self, public_key: Any, node_id: str, *, now: datetime, serial: int
    ) -> InstallationIssued:
        if public_key == "bad":
            raise Invalid("csr", "is not good")
        return InstallationIssued(
            serial, datetime(2027, 1, 1, tzinfo=UTC), f"{public_key} is {node_id}"
        )


@pytest.fixture
async def world(store: Store) -> Store:
    """A node, a batch with a whitelist, and one that is open and full with one device."""

    def describe(tx: Transaction) -> None:
        for name in ("gate", "other"):
            nodes.create_node(tx, NAMESPACE, name, NodeSpec(), now=NOW)
        for name, spec in (
            ("listed", BatchSpec(security_key="k", fingerprint=Fingerprint(36))),
            ("open", BatchSpec(security_key="k", enable_whitelist=0, quota_num=1)),
        ):
            batches.create_batch(tx, NAMESPACE, name, spec, now=NOW, new_id=lambda: "i")
        draft = RecordDraft(fingerprint_value="SN-1", node_name="n1")
        records.create_record(tx, NAMESPACE, "listed", draft, now=NOW, new_id=lambda: "i")

    await store.write(describe)
    return store


async def offer(
    store: Store,
    kind: str,
    name: str,
    token: str = "t",  # noqa: S107
    *,
    now: datetime = NOW,
) -> None:
    make = installation.offer_node if kind == "node" else installation.offer_batch
    await store.write(lambda tx: make(tx, NAMESPACE, name, token, now=now))


async def use(
    store: Store,
    token: str = "t",  # noqa: S107
    *,
    now: datetime = NOW,
    key: str = "key",
    serial: int = 7,
    **claim: Any,
) -> Activation:
    request = Claim(namespace=NAMESPACE, install_token=token, **claim)
    device = ActivatingDevice(key, f"digest of {key}", "192.0.2.1")
    return await store.write(
        lambda tx: activate(
            tx,
            InstallationAuthority(),
            request,
            device,
            now=now,
            serial=serial,
            delivery_id=f"d{serial}",
        )
    )


async def is_live(store: Store, token: str = "t", *, now: datetime = NOW) -> bool:  # noqa: S107
    try:
        await store.read(lambda tx: installation.offered(tx, token, now=now))
    except Denied:
        return False
    return True


async def test_a_token_of_a_node_makes_that_node_once(world: Store) -> None:
    await offer(world, "node", "gate")
    # Other claims of the machine do not count.
    activation = await use(world, batch_name="open", fingerprint_value="other")
    assert (activation.node_name, activation.namespace) == ("gate", NAMESPACE)
    assert activation.certificate_pem == "key is default.gate"
    certificate = await world.read(lambda tx: tx.certificate(7))
    assert certificate is not None
    assert certificate.node_id == "default.gate"
    with pytest.raises(Denied):
        await use(world)
    assert await world.read(lambda tx: tx.count_records(NAMESPACE, "open")) == 0


async def test_a_token_of_a_batch_stands_for_its_key_and_for_nothing_else(world: Store) -> None:
    await offer(world, "batch", "listed")
    with pytest.raises(Invalid) as caught:
        await use(world)
    assert caught.value.field == "fingerprintValue"
    with pytest.raises(ActivationDenied):
        await use(world, fingerprint_value="SN-2")
    activation = await use(world, fingerprint_value=" sn-1")
    assert activation.node_name == "n1"
    with pytest.raises(Denied):
        await use(world, fingerprint_value="SN-1")


async def test_a_token_of_a_node_is_the_operators_word_for_another_key(world: Store) -> None:
    """The device of before is out; with the same key it is the same device."""
    for number, token in enumerate(("t1", "t2", "t3")):
        await offer(world, "node", "gate", token)
        key = "other" if token == "t3" else "key"
        activation = await use(world, token, key=key, serial=number)
        assert activation.has_replaced == (token == "t3")
    revoked = await world.read(
        lambda tx: [getattr(tx.certificate(serial), "revoked", None) for serial in range(3)]
    )
    assert revoked == [NOW, NOW, None]


async def test_a_token_of_a_batch_does_not_give_an_active_device_another_key(world: Store) -> None:
    for number, token in enumerate(("t1", "t2", "t3")):
        await offer(world, "batch", "listed", token)
        key = "other" if token == "t3" else "key"
        if token != "t3":
            await use(world, token, key=key, serial=number, fingerprint_value="SN-1")
            continue
        with pytest.raises(OtherKey):
            await use(world, token, key=key, serial=number, fingerprint_value="SN-1")
    assert await is_live(world, "t3")


async def test_the_quota_counts_with_a_token_too(world: Store) -> None:
    for number in (1, 2):
        await offer(world, "batch", "open", f"t{number}")
    assert (await use(world, "t1", fingerprint_value="SN-9")).node_name == "sn-9"
    with pytest.raises(QuotaExceeded):
        await use(world, "t2", fingerprint_value="SN-8")


async def test_what_fails_does_not_use_the_token_up(world: Store) -> None:
    await offer(world, "node", "gate")
    with pytest.raises(Invalid):
        await use(world, key="bad")
    assert await is_live(world)
    assert (await use(world)).node_name == "gate"


async def test_a_token_ends_after_an_hour(world: Store) -> None:
    await offer(world, "node", "gate")
    last = NOW + LIFETIME - timedelta(microseconds=1)
    assert await is_live(world, now=last)
    assert not await is_live(world, now=NOW + LIFETIME)
    with pytest.raises(Denied):
        await use(world, now=NOW + LIFETIME)
    assert (await use(world, now=last)).node_name == "gate"


@pytest.mark.parametrize("guess", ["", "T", "t ", "tt", digest_of("t"), "\udc80", "t\0"])
async def test_a_guess_opens_nothing(world: Store, guess: str) -> None:
    await offer(world, "node", "gate")
    assert not await is_live(world, guess)
    with pytest.raises((Denied, Invalid)):
        await use(world, guess)


async def test_only_the_digest_is_kept(world: Store) -> None:
    await offer(world, "node", "gate", "a secret")
    (kept,) = await world.read(lambda tx: tx.install_tokens(NAMESPACE, TargetKind.NODE, "gate"))
    assert "a secret" not in repr(kept)
    assert kept.digest == digest_of("a secret")


async def test_ten_tokens_live_at_a_time_and_the_oldest_goes_first(world: Store) -> None:
    await offer(world, "node", "other", "of another")
    for number in range(LIVE_LIMIT + 2):
        await offer(world, "node", "gate", f"t{number}", now=NOW + timedelta(seconds=number))
    live = [number for number in range(LIVE_LIMIT + 2) if await is_live(world, f"t{number}")]
    assert live == list(range(2, LIVE_LIMIT + 2))
    assert await is_live(world, "of another")


async def test_expired_tokens_are_forgotten_on_the_way(world: Store) -> None:
    await offer(world, "batch", "open", "old")
    await offer(world, "node", "gate", "new", now=NOW + LIFETIME)
    kept = await world.read(lambda tx: tx.install_tokens(NAMESPACE, TargetKind.BATCH, "open"))
    assert kept == []


async def test_tokens_go_with_what_they_are_for(world: Store) -> None:
    await offer(world, "node", "gate", "t1")
    await offer(world, "batch", "open", "t2")

    def again(tx: Transaction) -> None:
        nodes.delete_node(tx, NAMESPACE, "gate", now=NOW)
        nodes.create_node(tx, NAMESPACE, "gate", NodeSpec(), now=NOW)
        batches.delete_batch(tx, NAMESPACE, "open")

    await world.write(again)
    assert not await is_live(world, "t1")
    assert not await is_live(world, "t2")


async def test_there_is_no_token_for_what_is_not_there(world: Store) -> None:
    for kind in ("node", "batch"):
        with pytest.raises(NotFound) as caught:
            await offer(world, kind, "nothing")
        assert caught.value.kind == kind
    assert not await is_live(world)


async def test_an_install_token_yields_its_target_and_its_fingerprint(world: Store) -> None:
    await offer(world, "batch", "listed", "t1")
    await offer(world, "node", "gate", "t2")
    batch = await world.read(lambda tx: installation.install_target(tx, "t1", now=NOW))
    assert (batch.kind, batch.name, batch.fingerprint) == ("batch", "listed", Fingerprint(36))
    node = await world.read(lambda tx: installation.install_target(tx, "t2", now=NOW))
    assert (node.kind, node.name, node.fingerprint) == ("node", "gate", None)
    with pytest.raises(Denied):
        await world.read(lambda tx: installation.install_target(tx, "t3", now=NOW))
