"""Folds of events, on every store: a node that flaps leaves a few events and a count."""

from datetime import timedelta

from cloud.core.event import Event, EventFilter
from cloud.core.folding import WINDOW
from cloud.operations.events import has_new_events, number_events
from cloud.store.transaction import Store, Transaction
from tests.store.conftest import NOW

MANY, SHOWN = 162, 5


def failed(seconds: int, name: str = "flapping") -> Event:
    time = NOW + timedelta(milliseconds=seconds)
    return Event("node.failed", "default", "node", name, time, f"number {seconds}", {"n": seconds})


async def test_a_node_that_flaps_leaves_a_few_events_and_a_count(store: Store) -> None:
    def flap(tx: Transaction) -> None:
        for number in range(MANY):
            tx.record_event(failed(number))
        tx.record_event(failed(0, "another"))

    await store.write_concurrent(flap)
    now = NOW
    taken = folded = 0
    while await store.read(lambda tx: has_new_events(tx, now=now)):
        numbered = await store.write(
            lambda tx: number_events(tx, limit=50, now=now, per_minute=SHOWN)
        )
        taken += numbered.taken
        folded += numbered.folded
    assert (taken, folded) == (MANY + 1, 0)
    later = NOW + WINDOW
    assert await store.read(lambda tx: has_new_events(tx, now=later))
    numbered = await store.write(
        lambda tx: number_events(tx, limit=50, now=later, per_minute=SHOWN)
    )
    assert numbered.folded == MANY - SHOWN - 1

    everything = EventFilter("default")
    events = await store.read(lambda tx: tx.next_events(everything, above=0, limit=1000))
    assert [each.number for each in events] == list(range(1, SHOWN + 3))
    assert [each.event.name for each in events[SHOWN:]] == ["another", "flapping"]
    last = events[-1].event
    assert (last.count, last.message) == (MANY - SHOWN, f"number {MANY - 1}")
    assert (last.data, last.time) == ({"n": MANY - 1}, failed(MANY - 1).time)
    assert last.first_time == failed(SHOWN).time
    assert {each.event.count for each in events[:-1]} == {1}

    # Nothing more happens: what was remembered is forgotten.
    end = later + WINDOW
    await store.write(lambda tx: number_events(tx, limit=50, now=end, per_minute=SHOWN))
    assert not await store.read(lambda tx: has_new_events(tx, now=end + WINDOW))
