"""What is in the queue reaches the receiver, signed, until it is taken."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cloud.core.callback import Callback, CallbackSpec, CallbackStatus
from cloud.core.sending import LIFETIME, Delivery
from cloud.jobs.callback_client import open_callback_client
from cloud.jobs.delivery_sender import DeliverySender
from cloud.operations.callbacks import CALLBACK_OUTBOX
from cloud.store.transaction import Store, Transaction
from tests.deadlines import UNIT
from tests.jobs.receiver import Receiver, receiving
from tests.ports import free_port

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
DEADLINE = 20 * UNIT


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as there:
        yield there


class SenderClock:
    """The true time, and what a test adds to it."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


class SenderWorld:
    """A sender at work, and what is put before it."""

    def __init__(self, store: Store, sender: DeliverySender[Callback], clock: SenderClock) -> None:
        self.store = store
        self.sender = sender
        self.clock = clock

    async def describe(self, url: str, name: str = "hook", **fields: Any) -> None:
        now = self.clock()
        spec = CallbackSpec(url=url, secret=SECRET, **fields)
        callback = Callback("default", name, spec, now, now)
        await self.store.write(lambda tx: tx.put_callback(callback))

    async def tell(self, *ids: str, name: str = "hook", content: str = '{"site":"n"}') -> None:
        now = self.clock()

        def put(tx: Transaction) -> None:
            for one in ids:
                tx.put_delivery(Delivery(one, "default", name, content, now, now))

        await self.store.write(put)
        self.sender.wake()

    async def outcome(self, name: str = "hook") -> CallbackStatus:
        return await self.store.read(lambda tx: tx.callback_outcome("default", name))

    async def wait_for(
        self, is_so: Callable[[CallbackStatus], bool], name: str = "hook"
    ) -> CallbackStatus:
        async with asyncio.timeout(DEADLINE):
            while not is_so(outcome := await self.outcome(name)):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        return outcome


@pytest.fixture
async def world(store: Store) -> AsyncIterator[SenderWorld]:
    clock = SenderClock()
    sender = DeliverySender(store, CALLBACK_OUTBOX, open_callback_client, clock, lambda: 0.5)
    running = asyncio.create_task(sender.run())
    yield SenderWorld(store, sender, clock)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


def is_delivered(outcome: CallbackStatus) -> bool:
    return outcome.pending == 0 and outcome.last_success is not None


async def test_the_receiver_gets_the_content_and_can_check_the_sender(
    world: SenderWorld, receiver: Receiver
) -> None:
    await world.describe(
        f"{receiver.url}/a?b=c",
        method="PUT",
        params={"d": "e f"},
        header={"Authorization": "Bearer x"},
        body={"team": "a", "site": "nowhere"},
    )
    await world.tell("msg-1")
    await world.wait_for(is_delivered)
    (got,) = receiver.got
    assert (got.method, got.path, got.id) == ("PUT", "/a?b=c&d=e+f", "msg-1")
    assert got.json == {"team": "a", "site": "n"}
    assert got.headers["authorization"] == "Bearer x"
    assert got.headers["content-type"] == "application/json"
    assert got.is_signed_with(SECRET)
    assert not got.is_signed_with("whsec_" + "A" * 32)
    assert abs(int(got.headers["webhook-timestamp"]) - world.clock().timestamp()) < DEADLINE


async def test_a_refused_callback_is_sent_again_with_the_same_id(
    world: SenderWorld, receiver: Receiver
) -> None:
    receiver.status = 503
    await world.describe(receiver.url)
    await world.tell("msg-1")
    outcome = await world.wait_for(lambda o: bool(o.last_error))
    assert (outcome.last_error, outcome.pending) == ("answered 503", 1)
    receiver.status = 200
    outcome = await world.wait_for(is_delivered)
    assert outcome.given_up == 0
    assert {got.id for got in receiver.got} == {"msg-1"}
    assert len(receiver.got) >= 2


async def test_an_unreachable_receiver_gets_the_callback_once_it_returns(
    world: SenderWorld,
) -> None:
    port = free_port()
    await world.describe(f"http://127.0.0.1:{port}")
    await world.tell("msg-1")
    outcome = await world.wait_for(lambda o: bool(o.last_error))
    assert outcome.last_error.startswith("ConnectError")
    with receiving(port) as back:
        await world.wait_for(is_delivered)
        assert [got.id for got in back.got] == ["msg-1"]


async def test_redirects_are_not_followed(world: SenderWorld, receiver: Receiver) -> None:
    with receiving() as inner:
        receiver.status, receiver.headers = 307, {"Location": inner.url}
        await world.describe(receiver.url)
        await world.tell("msg-1")
        outcome = await world.wait_for(lambda o: bool(o.last_error))
        assert outcome.last_error == "answered 307"
        assert inner.got == []


async def test_what_is_too_old_is_given_up_and_can_be_seen(
    world: SenderWorld, receiver: Receiver
) -> None:
    receiver.status = 500
    await world.describe(receiver.url)
    await world.tell("msg-1")
    await world.wait_for(lambda o: bool(o.last_error))
    world.clock.ahead = LIFETIME
    world.sender.wake()
    outcome = await world.wait_for(lambda o: o.given_up == 1)
    assert outcome.pending == 0
    (dead,) = await world.store.read(lambda tx: tx.given_up("default", "hook", 9))
    assert (dead.id, dead.error) == ("msg-1", "answered 500")


async def test_a_slow_receiver_does_not_delay_others(
    world: SenderWorld, receiver: Receiver
) -> None:
    with receiving() as slow:
        slow.delay = 2
        await world.describe(slow.url, "slow")
        await world.tell(*(f"slow-{n}" for n in range(20)), name="slow")
        await world.describe(receiver.url)
        await world.tell("msg-1")
        await world.wait_for(is_delivered)
        assert (await world.outcome("slow")).last_success is None


async def test_many_callbacks_are_all_delivered(world: SenderWorld, receiver: Receiver) -> None:
    await world.describe(receiver.url)
    wanted = [f"msg-{number}" for number in range(50)]
    await world.tell(*wanted)
    await world.wait_for(is_delivered)
    assert sorted(got.id for got in receiver.got) == sorted(wanted)


async def test_a_callback_that_is_deleted_on_the_way_ends_quietly(
    world: SenderWorld, receiver: Receiver
) -> None:
    receiver.delay, receiver.status = 0.2, 500
    await world.describe(receiver.url)
    await world.tell("msg-1")
    async with asyncio.timeout(DEADLINE):
        while not receiver.got:  # noqa: ASYNC110  # it is a thread
            await asyncio.sleep(0.01)
    await world.store.write(lambda tx: tx.delete_callback("default", "hook"))
    with receiving() as other:
        await world.describe(other.url, "other")
        await world.tell("msg-2", name="other")
        await world.wait_for(is_delivered, "other")
