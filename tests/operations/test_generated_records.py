"""Many records at once, and what is downloaded of them."""

from collections.abc import Callable
from itertools import cycle

import pytest

from cloud.core.batch import BatchSpec, Record
from cloud.errors import Conflict, Invalid, NotFound, QuotaExceeded
from cloud.operations import batches, records
from cloud.operations.records import RecordDraft
from cloud.store.transaction import Store, Transaction
from tests.operations.conftest import NAMESPACE, NOW

QUOTA = 5


@pytest.fixture
async def batch(store: Store) -> str:
    def create(tx: Transaction) -> None:
        spec = BatchSpec(quota_num=QUOTA, security_key="t")
        batches.create_batch(tx, NAMESPACE, "b", spec, now=NOW, new_id=lambda: "unused")

    await store.write(create)
    return "b"


async def generate(store: Store, batch: str, count: int, new_id: Callable[[], str]) -> list[str]:
    def work(tx: Transaction) -> list[str]:
        made = records.generate_records(tx, NAMESPACE, batch, count, now=NOW, new_id=new_id)
        kept = {one.name: one for one in tx.records(NAMESPACE, batch)}
        for one in (kept[name] for name in made):
            assert one == Record(NAMESPACE, batch, one.name, one.name, one.name, NOW, NOW)
        return list(made)

    return await store.write(work)


async def downloaded(store: Store, batch: str) -> list[str]:
    return list(await store.read(lambda tx: records.fingerprints_of(tx, NAMESPACE, batch)))


async def test_what_was_generated_can_be_downloaded(
    store: Store, batch: str, new_id: Callable[[], str]
) -> None:
    assert await downloaded(store, batch) == []
    made = await generate(store, batch, 2, new_id)
    made += await generate(store, batch, QUOTA - 2, new_id)
    assert made == ["id1", "id2", "id3", "id4", "id5"]
    assert await downloaded(store, batch) == made


async def test_more_than_the_quota_leaves_nothing_behind(
    store: Store, batch: str, new_id: Callable[[], str]
) -> None:
    for count in (QUOTA + 1, 10**30):
        with pytest.raises(QuotaExceeded):
            await generate(store, batch, count, new_id)
    await store.write(
        lambda tx: records.create_record(
            tx, NAMESPACE, batch, RecordDraft("r"), now=NOW, new_id=new_id
        )
    )
    with pytest.raises(QuotaExceeded):
        await generate(store, batch, QUOTA, new_id)
    assert len(await downloaded(store, batch)) == 1


@pytest.mark.parametrize("count", [0, -1])
async def test_less_than_one_is_refused(
    store: Store, batch: str, new_id: Callable[[], str], count: int
) -> None:
    with pytest.raises(Invalid) as caught:
        await generate(store, batch, count, new_id)
    assert caught.value.field == "num"


async def test_where_one_cannot_be_added_none_is(store: Store, batch: str) -> None:
    ids = cycle(["a", "b", "SAME", "same"])  # work may be run again, and asks for names again
    with pytest.raises(Invalid):
        await generate(store, batch, 4, lambda: next(ids))
    ids = cycle(["a", "b", "a"])
    with pytest.raises(Conflict):
        await generate(store, batch, 3, lambda: next(ids))
    await store.write(
        lambda tx: records.create_record(
            tx, NAMESPACE, batch, RecordDraft("other", "C"), now=NOW, new_id=lambda: "x"
        )
    )
    for taken in ("other", "c"):
        ids = cycle(["a", "b", taken])
        with pytest.raises(Conflict):
            await generate(store, batch, 3, lambda: next(ids))  # noqa: B023
    assert await downloaded(store, batch) == ["C"]


async def test_without_the_batch_it_is_the_batch_that_is_not_found(
    store: Store, new_id: Callable[[], str]
) -> None:
    with pytest.raises(NotFound) as caught:
        await generate(store, "x", 1, new_id)
    assert (caught.value.kind, caught.value.name) == ("batch", "x")
    with pytest.raises(NotFound):
        await downloaded(store, "x")
