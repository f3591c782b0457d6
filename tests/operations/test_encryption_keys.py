"""Secrets are sealed to the key that a node proves, and to no other."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
from cryptography.exceptions import InvalidTag

from certs.keys import key_digest
from cloud.core.certificate import NodeCertificate
from cloud.core.encryption_key import EncryptionKey, SealingPolicy, SecretDelivery
from cloud.core.explain import Reason
from cloud.core.listing import ListOptions
from cloud.core.node import NodeSpec
from cloud.core.objects import cannot_sign
from cloud.core.registry import RegistrySpec
from cloud.core.report import Order, read_report
from cloud.core.secret import SecretSpec
from cloud.errors import Forbidden, Invalid
from cloud.operations.apps import create_app
from cloud.operations.desires import Info, InfoKind, deliver
from cloud.operations.explain import explain_node
from cloud.operations.nodes import create_node, list_nodes, read_node
from cloud.operations.registries import create_registry
from cloud.operations.reports import receive_report
from cloud.operations.secrets import create_secret, update_secret
from cloud.rest.node_state import state_answer
from cloud.store.transaction import Store, Transaction
from tests.node_keys import NodeKeys
from tests.operations.conftest import LATER, NAMESPACE, NOW, app_spec

NODE = f"{NAMESPACE}.n"
TIME = int(NOW.timestamp())
VALUE = "c29tZSBzZWNyZXQ="  # "some secret"
INFOS = [Info(InfoKind.SECRET, name) for name in ("password", "hub")]
UNREADABLE = (InvalidTag, ValueError)


def certificate(keys: NodeKeys, serial: int = 1) -> NodeCertificate:
    until = NOW + timedelta(days=90)
    return NodeCertificate(serial, NODE, NOW, until, key=key_digest(keys.signer.public_key()))


async def plant(store: Store, *keys: NodeKeys) -> None:
    """A node with a certificate for each of *keys*, and an app with a secret and a registry."""

    def work(tx: Transaction) -> None:
        create_node(tx, NAMESPACE, "n", NodeSpec(labels={"role": "gateway"}), now=NOW)
        create_secret(tx, NAMESPACE, "password", SecretSpec({"k": "some secret"}), now=NOW)
        hub = RegistrySpec("hub.example", "me", "some secret")
        create_registry(tx, NAMESPACE, "hub", hub, now=NOW)
        spec = app_spec(secrets=["password"], registries=["hub"])
        create_app(tx, NAMESPACE, "web", spec, now=NOW)
        for serial, own in enumerate(keys):
            tx.put_certificate(certificate(own, serial))

    await store.write(work)


async def report(store: Store, proof: dict[str, Any] | None, now: datetime = NOW) -> None:
    content: dict[str, Any] = {"apps": []}
    if proof is not None:
        content["encryptionKey"] = proof
    read = read_report(content, Order())
    await store.write_concurrent(lambda tx: receive_report(tx, NODE, read, "json", now=now))


async def bodies(store: Store, policy: SealingPolicy | None = None) -> list[dict[str, Any]]:
    """The secret, and the registry, as they are sent."""

    def work(tx: Transaction) -> list[dict[str, Any]]:
        found = deliver(tx, NODE, INFOS, presign=cannot_sign, policy=policy or SealingPolicy())
        return [value["value"] for value in found.content["values"]]

    return await store.read(work)


async def test_a_node_without_a_key_gets_what_it_always_got(store: Store) -> None:
    await plant(store, NodeKeys())
    await report(store, None)
    secret, hub = await bodies(store)
    assert secret["data"] == {"k": VALUE}
    assert set(hub["data"]) == {"address", "username", "password"}
    assert "sealed" not in secret


async def test_a_body_opens_as_what_it_is_and_as_nothing_else(store: Store) -> None:
    keys = NodeKeys()
    await plant(store, keys)
    await report(store, keys.proof(TIME))
    secret, hub = await bodies(store)
    sent = msgspec.json.encode([secret, hub])
    assert not any(text in sent for text in (b"some secret", VALUE.encode(), b"hub.example"))
    assert "data" not in secret
    assert secret["sealed"]["key"] == keys.key
    assert keys.opened(NODE, secret) == {"k": VALUE}
    assert keys.opened(NODE, hub)["password"] == VALUE
    assert await bodies(store) != [secret, hub], "each is sealed for itself"
    for wrong in (
        {"node": "default.other"},
        {"type": "registry"},
        {"name": "passwords"},
        {"version": secret["version"] + "0"},
    ):
        with pytest.raises(UNREADABLE):
            keys.opened(NODE, secret, **wrong)
    with pytest.raises(UNREADABLE):
        NodeKeys().opened(NODE, secret)


async def test_the_report_is_kept_without_the_proof(store: Store) -> None:
    keys = NodeKeys()
    await plant(store, keys)
    await report(store, keys.proof(TIME))
    stored = await store.read(lambda tx: tx.report(NAMESPACE, "n"))
    assert stored is not None
    assert stored.report.document == b'{"apps":[]}'


async def test_a_new_key_follows_and_an_earlier_one_never_returns(store: Store) -> None:
    keys = NodeKeys()
    later, other = NodeKeys(keys.signer), NodeKeys(keys.signer)
    await plant(store, keys)
    await report(store, keys.proof(TIME))
    await report(store, later.proof(TIME + 60), LATER)
    for old in (keys.proof(TIME), other.proof(TIME + 60), other.proof(TIME + 200_000)):
        await report(store, old, LATER)
        secret, _ = await bodies(store)
        assert later.opened(NODE, secret) == {"k": VALUE}
    await store.write(
        lambda tx: update_secret(tx, NAMESPACE, "password", SecretSpec({"k": ""}), now=LATER)
    )
    secret, _ = await bodies(store)
    assert later.opened(NODE, secret) == {"k": ""}


def swaps() -> dict[str, Callable[[NodeKeys], dict[str, Any]]]:
    other = NodeKeys()
    return {
        "signed by a key without a certificate": lambda _: other.proof(TIME),
        "another key": lambda own: own.proof(TIME, key=other.key),
        "another time": lambda own: own.proof(TIME, time=TIME + 1),
        "another signature": lambda own: own.proof(
            TIME, signature=NodeKeys(own.signer).proof(TIME)["signature"]
        ),
        "another signer": lambda own: own.proof(TIME, signer=other.proof(TIME)["signer"]),
        "no base64": lambda own: own.proof(TIME, signature="?"),
        "too long": lambda own: own.proof(TIME, signature="A" * 4000),
        "no key of that length": lambda own: own.proof(TIME, key="AAAA"),
        "a key to which nothing can be sealed": lambda own: zero(own).proof(TIME),
    }


def zero(own: NodeKeys) -> NodeKeys:
    """With the point of low order that makes every shared secret zero (RFC 7748, 6.1)."""
    found = NodeKeys(own.signer)
    found.__dict__["key"] = "A" * 43 + "="
    return found


@pytest.mark.parametrize("swap", swaps())
async def test_a_key_that_is_not_proved_is_refused_and_nothing_is_stored(
    store: Store, swap: str
) -> None:
    keys = NodeKeys()
    await plant(store, keys)
    await report(store, keys.proof(TIME - 60))
    with pytest.raises(Invalid) as caught:
        await report(store, swaps()[swap](NodeKeys(keys.signer)), LATER)
    assert caught.value.field.startswith("content.encryptionKey.")
    secret, _ = await bodies(store)
    assert secret["sealed"]["key"] == keys.key
    stored = await store.read(lambda tx: tx.report(NAMESPACE, "n"))
    assert stored is not None
    assert stored.received == NOW


async def test_the_key_of_a_revoked_certificate_proves_nothing(store: Store) -> None:
    keys = NodeKeys()
    await plant(store, keys)
    await store.write(lambda tx: tx.revoke_certificates(NODE, NOW))
    with pytest.raises(Invalid):
        await report(store, keys.proof(TIME))


async def test_a_certificate_whose_key_is_not_on_record_yet_does_not_stop_reports(
    store: Store,
) -> None:
    keys = NodeKeys()
    await plant(store)
    await store.write(lambda tx: tx.put_certificate(replace(certificate(keys), key="")))
    await report(store, keys.proof(TIME))
    assert (await bodies(store))[0]["data"] == {"k": VALUE}
    await store.write(lambda tx: tx.put_certificate(certificate(keys)))
    await report(store, keys.proof(TIME))
    assert keys.opened(NODE, (await bodies(store))[0]) == {"k": VALUE}


@pytest.mark.parametrize("required", [NAMESPACE, "*"])
async def test_where_secrets_only_leave_sealed_a_node_without_a_key_gets_none(
    store: Store, required: str
) -> None:
    keys, policy = NodeKeys(), SealingPolicy({required})
    await plant(store, keys)
    await report(store, None)
    with pytest.raises(Forbidden, match="password is withheld"):
        await bodies(store, policy)
    assert (await bodies(store, SealingPolicy({"other"})))[0]["data"] == {"k": VALUE}
    await report(store, keys.proof(TIME))
    assert keys.opened(NODE, (await bodies(store, policy))[0]) == {"k": VALUE}


async def test_a_deleted_node_leaves_no_key(store: Store) -> None:
    keys = NodeKeys()
    await plant(store, keys)
    await report(store, keys.proof(TIME))
    await store.write(lambda tx: tx.delete_node(NAMESPACE, "n"))
    assert await store.read(lambda tx: tx.encryption_key(NAMESPACE, "n")) is None


async def test_an_explanation_names_what_is_withheld_and_only_that(store: Store) -> None:
    keys, policy = NodeKeys(), SealingPolicy({NAMESPACE})
    await plant(store, keys)
    await store.write(
        lambda tx: create_app(tx, NAMESPACE, "open", app_spec(), now=NOW)  # mounts nothing
    )
    await report(store, None)

    async def reasons(sealing: SealingPolicy) -> dict[str, Reason]:
        found = await store.read(
            lambda tx: explain_node(tx, NAMESPACE, "n", now=NOW, sealing=sealing)
        )
        return {app.name: app.reason for app in found.explanation.apps}

    sent = Reason.REPORT_OLDER_THAN_PUSH
    assert await reasons(policy) == {"web": Reason.SECRETS_WITHHELD, "open": sent}
    assert await reasons(SealingPolicy()) == {"web": sent, "open": sent}
    await report(store, keys.proof(TIME))
    assert await reasons(policy) == {"web": sent, "open": sent}


async def test_of_each_node_the_answer_states_how_secrets_reach_it(store: Store) -> None:
    keys = NodeKeys()
    await plant(store, keys)

    async def delivery(policy: SealingPolicy) -> SecretDelivery:
        seen = await store.read(lambda tx: read_node(tx, NAMESPACE, "n"))
        return state_answer(seen, NOW, policy, connected=None).secrets

    assert await delivery(SealingPolicy()) is SecretDelivery.PLAIN
    assert await delivery(SealingPolicy({"*"})) is SecretDelivery.WITHHELD
    await report(store, keys.proof(TIME))
    assert await delivery(SealingPolicy({"*"})) is SecretDelivery.SEALED
    listed = await store.read(lambda tx: list_nodes(tx, NAMESPACE, ListOptions()))
    assert [seen.encryption for seen in listed.items] == [EncryptionKey(keys.key, TIME)]
