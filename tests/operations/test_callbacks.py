"""Callbacks are queued in the transaction of the event."""

import json
from dataclasses import replace
from datetime import datetime

import pytest

from cloud.core.batch import BatchSpec, SecurityType
from cloud.core.callback import CallbackSpec
from cloud.core.sending import LIFETIME, RETENTION, Delivery, DeliveryAttempt
from cloud.errors import Invalid, OtherKey
from cloud.operations import batches, callbacks
from cloud.operations.activation import ActivatingDevice, Claim, activate
from cloud.operations.deliveries import record_attempts
from cloud.store.transaction import Store, Transaction
from tests.operations.conftest import LATER, NAMESPACE, NOW
from tests.operations.test_activation import ActivationAuthority

CLAIM = Claim("b", "SN-1", NAMESPACE, penetrate_data={"site": "north"})
DELIVERY = Delivery("d1", NAMESPACE, "crm", "{}", NOW, NOW)


@pytest.fixture
async def world(store: Store) -> Store:
    """A batch that anybody may activate in, and its callback."""

    def describe(tx: Transaction) -> None:
        spec = CallbackSpec(url="https://example.com")
        callbacks.create_callback(tx, NAMESPACE, "crm", spec, now=NOW, new_token=lambda: "t")
        batch = BatchSpec(security_type=SecurityType.NONE, enable_whitelist=0, callback_name="crm")
        batches.create_batch(tx, NAMESPACE, "b", batch, now=NOW, new_id=lambda: "i")

    await store.write(describe)
    return store


async def use(store: Store, key: str, delivery_id: str) -> None:
    device = ActivatingDevice(key, key, "192.0.2.1")
    await store.write(
        lambda tx: activate(
            tx, ActivationAuthority(), CLAIM, device, now=NOW, serial=1, delivery_id=delivery_id
        )
    )


async def test_each_activation_is_queued_and_only_those_that_succeeded(world: Store) -> None:
    await use(world, "key", "d1")
    await use(world, "key", "d2")
    with pytest.raises(OtherKey):
        await use(world, "other", "d3")
    queued = await world.read(lambda tx: tx.newest_deliveries(NAMESPACE, "crm", 9))
    queued = sorted(queued, key=lambda one: one.id)
    assert [(one.id, one.content_type) for one in queued] == [
        ("d1", "application/json"),
        ("d2", "application/json"),
    ]
    contents = [json.loads(one.content) for one in queued]
    assert [one["site"] for one in contents] == ["north", "north"]
    assert [one["edgesync"]["isFirst"] for one in contents] == [True, False]


async def note(store: Store, *attempts: DeliveryAttempt, now: datetime = LATER) -> list[str]:
    given_up = await store.write(
        lambda tx: record_attempts(
            tx, callbacks.CALLBACK_OUTBOX, attempts, now=now, jitter=lambda: 0
        )
    )
    return [one.id for one in given_up]


async def test_what_was_taken_is_forgotten_and_what_was_not_put_off(world: Store) -> None:
    two = replace(DELIVERY, id="d2")

    def put(tx: Transaction) -> None:
        tx.put_delivery(DELIVERY)
        tx.put_delivery(two)

    await world.write(put)
    assert await note(world, DeliveryAttempt(DELIVERY), DeliveryAttempt(two, "answered 500")) == []
    seen = await world.read(lambda tx: callbacks.see_callback(tx, NAMESPACE, "crm"))
    assert (seen.outcome.pending, seen.outcome.last_error) == (1, "answered 500")
    assert seen.outcome.last_success == LATER
    assert await world.read(lambda tx: tx.due_receivers(LATER)) == []


async def test_what_was_given_up_is_kept_for_a_month(world: Store) -> None:
    await world.write(lambda tx: tx.put_delivery(DELIVERY))
    end = NOW + LIFETIME
    assert await note(world, DeliveryAttempt(DELIVERY, "answered 500"), now=end) == ["d1"]
    late = replace(DELIVERY, id="d2", created=NOW + RETENTION)
    await world.write(lambda tx: tx.put_delivery(late))
    assert await note(world, DeliveryAttempt(late, "x"), now=end + RETENTION) == ["d2"]
    kept = await world.read(lambda tx: tx.given_up(NAMESPACE, "crm", 9))
    assert [one.id for one in kept] == ["d2"]


async def test_nothing_is_noted_of_a_callback_that_is_gone(world: Store) -> None:
    await world.write(lambda tx: tx.put_delivery(DELIVERY))
    await world.write(lambda tx: tx.delete_callback(NAMESPACE, "crm"))
    assert (
        await note(
            world, DeliveryAttempt(DELIVERY, "x"), DeliveryAttempt(replace(DELIVERY, id="d2"))
        )
        == []
    )


async def test_the_name_of_a_callback_is_given_once(world: Store) -> None:
    spec = CallbackSpec(url="https://example.com")
    for name in ("crm", "Crm", ""):
        with pytest.raises(Invalid) as caught:
            await world.write(
                lambda tx, name=name: callbacks.create_callback(  # type: ignore[misc]
                    tx, NAMESPACE, name, spec, now=NOW, new_token=lambda: "t"
                )
            )
        assert caught.value.field == "name"
