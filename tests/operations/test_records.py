"""What people do with the records of a batch."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from cloud.core.batch import BatchSpec, Record
from cloud.core.listing import PageOptions
from cloud.errors import Activated, Invalid, NotFound, QuotaExceeded
from cloud.operations import batches, records
from cloud.operations.nodes import delete_node
from cloud.operations.records import RecordChange, RecordDraft
from cloud.store.transaction import Store, Transaction
from tests.operations.conftest import LATER, NAMESPACE, NOW, add_nodes

QUOTA = 3


@pytest.fixture
async def batch(store: Store) -> str:
    def create(tx: Transaction) -> None:
        spec = BatchSpec(quota_num=QUOTA, security_key="t")
        batches.create_batch(tx, NAMESPACE, "b", spec, now=NOW, new_id=lambda: "unused")

    await store.write(create)
    return "b"


async def create(store: Store, batch: str, draft: RecordDraft, new_id: Callable[[], str]) -> Record:
    return await store.write(
        lambda tx: records.create_record(tx, NAMESPACE, batch, draft, now=NOW, new_id=new_id)
    )


async def activate(store: Store, record: Record) -> None:
    await store.write(lambda tx: tx.put_record(replace(record, active=True, active_time=NOW)))


@pytest.mark.parametrize(
    ("draft", "expected"),
    [
        (RecordDraft(), ("id1", "id1", "id1")),
        (RecordDraft(fingerprint_value="SN-1.A"), ("sn-1.a", "SN-1.A", "sn-1.a")),
        (RecordDraft(fingerprint_value="a..b", node_name="n"), ("id1", "a..b", "n")),
        (RecordDraft("r", "f", "n"), ("r", "f", "n")),
    ],
)
async def test_what_is_left_out_follows_from_the_fingerprint(
    store: Store,
    batch: str,
    new_id: Callable[[], str],
    draft: RecordDraft,
    expected: tuple[str, str, str],
) -> None:
    record = await create(store, batch, draft, new_id)
    assert (record.name, record.fingerprint, record.node_name) == expected
    assert not record.active


@pytest.mark.parametrize(
    ("draft", "field"),
    [
        (RecordDraft(name="R"), "name"),
        (RecordDraft(name="baetyl/x"), "name"),
        (RecordDraft(fingerprint_value="a b"), "fingerprintValue"),
        (RecordDraft(fingerprint_value="f" * 64), "fingerprintValue"),
        (RecordDraft(fingerprint_value="f" * 63), "nodeName"),
        (RecordDraft(node_name="N"), "nodeName"),
    ],
)
async def test_a_bad_record_is_refused(
    store: Store, batch: str, new_id: Callable[[], str], draft: RecordDraft, field: str
) -> None:
    with pytest.raises(Invalid) as caught:
        await create(store, batch, draft, new_id)
    assert caught.value.field == field


async def test_a_name_and_a_fingerprint_are_given_once(
    store: Store, batch: str, new_id: Callable[[], str]
) -> None:
    await create(store, batch, RecordDraft("r", "f"), new_id)
    with pytest.raises(Invalid) as caught:
        await create(store, batch, RecordDraft("r", "g"), new_id)
    assert caught.value.field == "name"
    with pytest.raises(Invalid) as caught:
        await create(store, batch, RecordDraft("s", "F"), new_id)
    assert caught.value.field == "fingerprintValue"


async def test_a_batch_takes_no_more_than_its_quota(
    store: Store, batch: str, new_id: Callable[[], str]
) -> None:
    for _ in range(QUOTA):
        await create(store, batch, RecordDraft(), new_id)
    with pytest.raises(QuotaExceeded) as caught:
        await create(store, batch, RecordDraft(), new_id)
    assert caught.value.quota == QUOTA


async def test_the_node_of_a_record_can_change_until_it_is_active(
    store: Store, batch: str, new_id: Callable[[], str]
) -> None:
    async def rename(name: str) -> Record:
        change = RecordChange(node_name=name)
        return await store.write(
            lambda tx: records.update_record(tx, NAMESPACE, batch, "r", change, now=LATER)
        )

    before = await create(store, batch, RecordDraft("r", "f", "n"), new_id)
    assert await rename("n") == before
    with pytest.raises(Invalid) as caught:
        await rename("N")
    assert caught.value.field == "nodeName"
    after = await rename("m")
    assert (after.node_name, after.updated) == ("m", LATER)
    await activate(store, after)
    assert (await rename("m")).active
    with pytest.raises(Activated):
        await rename("o")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (RecordChange(batch_name="c"), "batchName"),
        (RecordChange(fingerprint_value="g"), "fingerprintValue"),
        (RecordChange(active=1), "active"),
    ],
)
async def test_nothing_else_of_a_record_changes(
    store: Store, batch: str, new_id: Callable[[], str], change: RecordChange, field: str
) -> None:
    before = await create(store, batch, RecordDraft("r", "f"), new_id)
    with pytest.raises(Invalid) as caught:
        await store.write(
            lambda tx: records.update_record(tx, NAMESPACE, batch, "r", change, now=LATER)
        )
    assert caught.value.field == field
    same = RecordChange(batch_name="b", fingerprint_value="f", active=0)
    after = await store.write(
        lambda tx: records.update_record(tx, NAMESPACE, batch, "r", same, now=LATER)
    )
    assert after == before


async def test_a_record_goes_unless_it_is_active(
    store: Store, batch: str, new_id: Callable[[], str]
) -> None:
    record = await create(store, batch, RecordDraft("r"), new_id)
    await activate(store, record)
    with pytest.raises(Activated):
        await store.write(lambda tx: records.delete_record(tx, NAMESPACE, batch, "r"))
    await store.write(lambda tx: tx.put_record(record))
    await store.write(lambda tx: records.delete_record(tx, NAMESPACE, batch, "r"))
    with pytest.raises(NotFound) as caught:
        await store.write(lambda tx: records.existing_record(tx, NAMESPACE, batch, "r"))
    assert (caught.value.kind, caught.value.name) == ("record", "r")


async def test_the_record_of_a_deleted_node_can_be_used_again(
    store: Store, batch: str, new_id: Callable[[], str]
) -> None:
    record = await create(store, batch, RecordDraft("r", "f", "n1"), new_id)
    await activate(store, record)

    def delete(tx: Transaction) -> Record:
        add_nodes(tx, n1="gateway")
        delete_node(tx, NAMESPACE, "n1", now=LATER)
        return records.existing_record(tx, NAMESPACE, batch, "r")

    assert not (await store.write(delete)).active


@pytest.mark.parametrize(
    "work",
    [
        lambda tx: records.create_record(
            tx, NAMESPACE, "x", RecordDraft(), now=NOW, new_id=lambda: "i"
        ),
        lambda tx: records.update_record(tx, NAMESPACE, "x", "r", RecordChange(), now=NOW),
        lambda tx: records.delete_record(tx, NAMESPACE, "x", "r"),
        lambda tx: records.list_records(tx, NAMESPACE, "x", PageOptions()),
    ],
)
async def test_without_the_batch_it_is_the_batch_that_is_not_found(
    store: Store, work: Callable[[Transaction], object]
) -> None:
    with pytest.raises(NotFound) as caught:
        await store.write(work)
    assert (caught.value.kind, caught.value.name) == ("batch", "x")


async def test_records_are_listed_by_part_of_name_or_fingerprint(
    store: Store, batch: str, new_id: Callable[[], str]
) -> None:
    for name, fingerprint in (("r-1", "SN-A"), ("r-2", "SN-B"), ("q-1", "XY")):
        await create(store, batch, RecordDraft(name, fingerprint), new_id)

    async def found(options: PageOptions) -> list[str]:
        page = await store.read(lambda tx: records.list_records(tx, NAMESPACE, batch, options))
        return [record.name for record in page.items]

    assert await found(PageOptions(name="sn-")) == ["r-2", "r-1"]
    assert await found(PageOptions(name="q-")) == ["q-1"]
    assert await found(PageOptions(number=2, size=2)) == ["q-1"]
    assert await found(PageOptions(number=9)) == []
