"""What every store promises of refused devices."""

from dataclasses import replace
from datetime import datetime, timedelta

from cloud.core.refused_device import KEPT_OF_REASON, RefusalReason
from cloud.store.transaction import Store, Transaction
from tests.store.conftest import NOW, batch, record

MINUTE = timedelta(minutes=1)
UNKNOWN, WRONG = RefusalReason.NOT_ON_WHITELIST, RefusalReason.UNPROVEN


def refuse(
    tx: Transaction,
    fingerprint: str,
    reason: RefusalReason = UNKNOWN,
    now: datetime = NOW,
    batch: str = "b1",
) -> None:
    tx.record_refused_device("default", batch, fingerprint, reason, address="192.0.2.1", now=now)


async def test_a_device_is_listed_once_for_each_reason_with_its_attempts(store: Store) -> None:
    def work(tx: Transaction) -> None:
        refuse(tx, "SN-1")
        refuse(tx, "SN-2", now=NOW + MINUTE)
        refuse(tx, " sn-1", now=NOW + 2 * MINUTE)
        refuse(tx, "SN-1", WRONG)
        refuse(tx, "SN-1", batch="other")

    await store.write(work)
    found = await store.read(lambda tx: tx.refused_devices("default", "b1"))
    assert [(one.fingerprint, one.reason, one.count) for one in found] == [
        (" sn-1", UNKNOWN, 2),
        ("SN-2", UNKNOWN, 1),
        ("SN-1", WRONG, 1),
    ]
    assert (found[0].first, found[0].last) == (NOW, NOW + 2 * MINUTE)
    counts = await store.read(
        lambda tx: (
            tx.count_refused_devices("default", NOW, 5),
            tx.count_refused_devices("default", NOW + MINUTE, 5),
            tx.count_refused_devices("default", NOW, 1),
        )
    )
    assert counts == ([("b1", 2), ("other", 1)], [("b1", 2)], [("b1", 2)])


async def test_an_activated_device_is_not_among_them_until_it_is_refused_again(
    store: Store,
) -> None:
    own = replace(record(batch="b1"), active=True, active_time=NOW + MINUTE)

    def work(tx: Transaction) -> None:
        tx.put_batch(batch("b1"))
        refuse(tx, "SN-1")
        tx.put_record(own)

    await store.write(work)
    assert await store.read(lambda tx: tx.refused_devices("default", "b1")) == []
    assert await store.read(lambda tx: tx.count_refused_devices("default", NOW, 5)) == []
    await store.write(lambda tx: refuse(tx, "SN-1", now=NOW + 2 * MINUTE))
    (found,) = await store.read(lambda tx: tx.refused_devices("default", "b1"))
    assert found.count == 2


async def test_the_last_of_each_reason_are_kept(store: Store) -> None:
    def work(tx: Transaction) -> None:
        refuse(tx, "whitelisted")
        for number in range(KEPT_OF_REASON + 3):
            refuse(tx, f"guess-{number}", WRONG, NOW + number * MINUTE)

    await store.write(work)
    found = await store.read(lambda tx: tx.refused_devices("default", "b1"))
    names = [one.fingerprint for one in found]
    assert names[0] == f"guess-{KEPT_OF_REASON + 2}"
    assert names[-2:] == ["guess-3", "whitelisted"]
    assert len(names) == KEPT_OF_REASON + 1
    await store.write(lambda tx: tx.forget_refused_devices("default", "b1"))
    assert await store.read(lambda tx: tx.refused_devices("default", "b1")) == []
