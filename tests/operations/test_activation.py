"""Which device becomes which node, and which does not."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from cloud.core.batch import BatchSpec, SecurityType
from cloud.core.certificate import NodeCertificate
from cloud.core.encryption_key import EncryptionKeyProof
from cloud.core.installation import InstallToken, TargetKind, digest_of
from cloud.core.node import NodeSpec
from cloud.core.report import Order, read_report
from cloud.errors import ActivationDenied, Invalid, OtherKey
from cloud.operations import batches, nodes, records
from cloud.operations.activation import ActivatingDevice, Activation, Claim, activate
from cloud.operations.records import RecordDraft
from cloud.operations.reports import receive_report
from cloud.store.transaction import Store, Transaction
from tests.operations.conftest import LATER, NAMESPACE, NOW


@dataclass
class ActivationIssued:
    serial: int
    not_after: datetime
    certificate_pem: str
    issuer_pem: str = "the issuer"


class ActivationAuthority:
    def issue_node(
        self, public_key: Any, node_id: str, *, now: datetime, serial: int
    ) -> ActivationIssued:
        return ActivationIssued(serial, now + timedelta(days=90), f"{public_key} is {node_id}")


@pytest.fixture
async def world(store: Store) -> Store:
    """A batch with a list and a token, one with neither."""

    def describe(tx: Transaction) -> None:
        for name, spec in (
            ("listed", BatchSpec(security_key="k")),
            ("open", BatchSpec(security_type=SecurityType.NONE, enable_whitelist=0)),
        ):
            batches.create_batch(tx, NAMESPACE, name, spec, now=NOW, new_id=lambda: "i")
        draft = RecordDraft(name="r", fingerprint_value="SN-1", node_name="n1")
        records.create_record(tx, NAMESPACE, "listed", draft, now=NOW, new_id=lambda: "i")

    await store.write(describe)
    return store


LOST = timedelta(seconds=45)
"""After so long an agent tries again."""

CLAIM = Claim("listed", "SN-1", NAMESPACE, "Token", "k")


async def use(
    store: Store,
    claim: Claim = CLAIM,
    *,
    key: str = "key",
    serial: int = 1,
    now: datetime = NOW,
    is_given_key: bool = False,
) -> Activation:
    device = ActivatingDevice(key, f"digest of {key}", "192.0.2.1", is_given_key=is_given_key)
    return await store.write(
        lambda tx: activate(
            tx,
            ActivationAuthority(),
            claim,
            device,
            now=now,
            serial=serial,
            delivery_id=f"d{serial}",
        )
    )


def claim(**changes: Any) -> Claim:
    return Claim(**{f: changes.get(f, getattr(CLAIM, f)) for f in CLAIM.__struct_fields__})


@pytest.mark.parametrize(
    ("guess", "cause"),
    [
        (claim(batch_name="nothing"), "no batch 'nothing'"),
        (claim(namespace="other"), "no batch 'listed' in other"),
        (claim(security_value="K"), "security type or token"),
        (claim(security_value=""), "security type or token"),
        (claim(security_type="None"), "security type or token"),
        (claim(security_type="Cert"), "security type or token"),
        (claim(fingerprint_value="SN-2"), "'SN-2'"),
        (claim(fingerprint_value="SN-2", security_value="K"), "security type or token"),
        (claim(batch_name="open"), "security type or token"),
        (claim(batch_name="nothing", security_value=""), "no batch"),
        (claim(batch_name="x" * 5000), "no batch"),
    ],
)
async def test_a_guess_is_answered_in_the_same_words_whatever_is_wrong(
    world: Store, guess: Claim, cause: str
) -> None:
    with pytest.raises(ActivationDenied) as wrong_batch:
        await use(world, claim(batch_name="whatever"))
    with pytest.raises(ActivationDenied) as caught:
        await use(world, guess)
    assert str(caught.value) == str(wrong_batch.value)
    assert caught.value.code == "RequestAccessDenied"
    assert cause in caught.value.cause
    assert len(caught.value.cause) < 200
    assert await world.read(lambda tx: tx.certificate(1)) is None


@pytest.mark.parametrize("batch", ["listed", "open", "nothing"])
async def test_a_malformed_fingerprint_is_refused_before_any_batch_is_read(
    world: Store, batch: str
) -> None:
    for field, wrong in (
        ("fingerprintValue", {"fingerprint_value": "a_b"}),
        ("fingerprintValue", {"fingerprint_value": " "}),
        ("fingerprintValue", {"fingerprint_value": ""}),
        ("batchName", {"batch_name": ""}),
    ):
        with pytest.raises(Invalid) as caught:
            await use(world, claim(**{"batch_name": batch, **wrong}))
        assert caught.value.field == field


@pytest.mark.parametrize("fingerprint", ["SN-1", "sn-1", " Sn-1\n"])
async def test_the_same_device_with_its_key_is_the_same_node(
    world: Store, fingerprint: str
) -> None:
    assert (await use(world)).node_name == "n1"
    again = await use(world, claim(fingerprint_value=fingerprint), serial=2)
    assert (again.node_name, again.certificate_pem) == ("n1", "key is default.n1")
    first = await world.read(lambda tx: tx.certificate(1))
    assert first is not None
    assert first.revoked is None


async def test_a_batch_without_list_and_token_admits_any_device(world: Store) -> None:
    claim = Claim("open", "Sn.9", NAMESPACE)
    assert (await use(world, claim)).node_name == "sn.9"
    with pytest.raises(ActivationDenied):
        await use(world, Claim("open", "sn-8", NAMESPACE, "Token", ""), serial=2)


async def test_an_active_record_is_not_given_to_another_key_until_it_is_reset(
    world: Store,
) -> None:
    await use(world)
    for _ in range(2):
        with pytest.raises(OtherKey) as caught:
            await use(world, key="other", serial=2)
        assert caught.value.code == "RegisterRecordActivated"
        assert "reset" in str(caught.value)
    assert await world.read(lambda tx: tx.certificate(2)) is None
    record = await reset(world)
    assert (record.active, record.updated) == (False, LATER)
    first = await world.read(lambda tx: tx.certificate(1))
    assert first is not None
    assert first.revoked == LATER
    assert (await use(world, key="other", serial=2)).node_name == "n1"
    with pytest.raises(OtherKey):
        await use(world, serial=3)


async def test_a_reset_of_what_is_free_changes_nothing(world: Store) -> None:
    before = await world.read(lambda tx: tx.record(NAMESPACE, "listed", "r"))
    assert await reset(world) == before


async def test_taking_all_certificates_back_does_not_open_the_record(world: Store) -> None:
    await use(world)
    await world.write(lambda tx: tx.revoke_certificates("default.n1", LATER))
    for key in ("key", "other"):
        with pytest.raises(OtherKey):
            await use(world, key=key, serial=2)


async def test_a_key_that_a_renewal_has_replaced_is_still_the_devices_until_it_is_taken_back(
    world: Store,
) -> None:
    await use(world)
    renewed = NodeCertificate(9, "default.n1", LATER, LATER + LOST, key="digest of next")
    await world.write(lambda tx: tx.put_certificate(renewed))
    for serial, key in ((2, "key"), (3, "next")):
        assert (await use(world, key=key, serial=serial)).node_name == "n1"
    await reset(world)
    await use(world, key="next", serial=4)
    with pytest.raises(OtherKey):
        await use(world, serial=5)


async def test_a_deleted_node_may_come_back_with_another_key(world: Store) -> None:
    await use(world)
    await world.write(lambda tx: nodes.delete_node(tx, NAMESPACE, "n1", now=LATER))
    assert (await use(world, key="other", serial=2)).node_name == "n1"


async def test_a_node_that_has_a_key_is_not_given_to_a_record_that_names_it(world: Store) -> None:
    """It was brought in by an installation command."""

    def bring_in(tx: Transaction) -> None:
        nodes.create_node(tx, NAMESPACE, "n1", NodeSpec(), now=NOW)
        certificate = NodeCertificate(9, "default.n1", NOW, LATER, key="digest of mine")
        tx.put_certificate(certificate)

    await world.write(bring_in)
    with pytest.raises(OtherKey):
        await use(world)
    assert (await use(world, key="mine")).node_name == "n1"


async def test_the_first_key_after_certificates_without_one_is_the_nodes(world: Store) -> None:
    await use(world)
    of_before = await world.read(lambda tx: tx.certificate(1))
    assert of_before is not None
    await world.write(lambda tx: tx.put_certificate(replace(of_before, key="")))
    assert (await use(world, key="other", serial=2)).node_name == "n1"
    with pytest.raises(OtherKey):
        await use(world, key="third", serial=3)


async def given(store: Store, serial: int, *, after: timedelta = timedelta(0)) -> Activation:
    """Activate as an agent does that has the server make its key, another one each time."""
    key = f"made {serial}"
    return await use(store, key=key, serial=serial, now=NOW + after, is_given_key=True)


async def hear(store: Store, *, after: timedelta) -> None:
    await store.write(
        lambda tx: receive_report(
            tx, "default.n1", read_report({}, Order()), "json", now=NOW + after
        )
    )


async def test_a_device_that_never_got_the_key_it_was_given_gets_another(world: Store) -> None:
    assert not (await given(world, 1)).has_replaced
    for serial in (2, 3):
        again = await given(world, serial, after=serial * LOST)
        assert (again.node_name, again.has_replaced) == ("n1", True)
    certificates = [await certificate(world, serial) for serial in (1, 2, 3)]
    assert [one.revoked for one in certificates] == [NOW + 2 * LOST, NOW + 3 * LOST, None]
    await hear(world, after=4 * LOST)
    with pytest.raises(OtherKey):
        await given(world, 4, after=5 * LOST)
    assert (await certificate(world, 3)).revoked is None


async def test_what_was_heard_of_the_device_before_does_not_count(world: Store) -> None:
    await given(world, 1)
    await hear(world, after=LOST)
    await reset(world)
    since = LATER - NOW + LOST
    await given(world, 2, after=since)
    assert (await given(world, 3, after=since + LOST)).has_replaced


@pytest.mark.parametrize("case", ["own key", "revoked", "renewed", "ended"])
async def test_otherwise_a_key_that_was_given_binds_as_any(world: Store, case: str) -> None:
    await given(world, 1)
    after = timedelta(days=100) if case == "ended" else LOST
    if case == "revoked":
        await world.write(lambda tx: nodes.revoke_node(tx, NAMESPACE, "n1", now=NOW))
    if case == "renewed":
        later, ends = NOW + LOST / 2, NOW + timedelta(days=90)
        other = NodeCertificate(9, "default.n1", later, ends, key="digest of made 1")
        await world.write(lambda tx: tx.put_certificate(other))
    with pytest.raises(OtherKey):
        await use(world, key="new", serial=2, now=NOW + after, is_given_key=case != "own key")


async def certificate(store: Store, serial: int) -> NodeCertificate:
    found = await store.read(lambda tx: tx.certificate(serial))
    assert found is not None
    return found


async def reset(store: Store) -> Any:
    return await store.write(
        lambda tx: records.reset_record(tx, NAMESPACE, "listed", "r", now=LATER)
    )


async def encryption_key(store: Store) -> str:
    found = await store.read(lambda tx: tx.encryption_key(NAMESPACE, "n1"))
    return found.key if found else ""


def proof(key: str, seconds: int) -> EncryptionKeyProof:
    """The encryption key *key*, made so long after NOW; what is not looked at here is empty."""
    return EncryptionKeyProof(key, int(NOW.timestamp()) + seconds, "", "")


async def test_activating_again_keeps_or_follows_the_encryption_key(world: Store) -> None:
    await use(world, claim(encryption_key=proof("one", 60)))
    serial = 1
    for sent, kept in (
        (None, "one"),
        (proof("older", 59), "one"),
        (proof("ahead", 200_000), "one"),
        (proof("two", 61), "two"),
        (proof("one", 60), "two"),
    ):
        serial += 1
        await use(world, claim(encryption_key=sent), serial=serial)
        assert await encryption_key(world) == kept
    await install(world, "t1")
    await use(world, claim(install_token="t1"), serial=10)
    assert await encryption_key(world) == "two"


async def test_another_device_does_not_inherit_the_encryption_key(world: Store) -> None:
    await use(world, claim(encryption_key=proof("one", 60)))
    await install(world, "t1")
    await use(world, claim(install_token="t1"), key="other", serial=2)
    assert await encryption_key(world) == ""
    await install(world, "t2")
    await use(
        world, claim(install_token="t2", encryption_key=proof("earlier", 1)), key="third", serial=3
    )
    assert await encryption_key(world) == "earlier"


async def install(store: Store, secret: str) -> None:
    """An install token for the node, by its *secret*."""
    token = InstallToken(digest_of(secret), NAMESPACE, TargetKind.NODE, "n1", NOW, LATER)
    await store.write(lambda tx: tx.put_install_token(token))
