"""What people do with batches."""

from collections.abc import Callable
from typing import Any

import pytest

from cloud.core.batch import Batch, BatchSpec, Fingerprint, SecurityType
from cloud.core.listing import PageOptions
from cloud.errors import HasRecords, Invalid, NotFound
from cloud.operations import batches
from cloud.operations.records import RecordDraft, create_record
from cloud.store.transaction import Store, Transaction
from tests.operations.conftest import LATER, NAMESPACE, NOW

NewId = Callable[[], str]


async def create(store: Store, new_id: NewId, name: str, spec: BatchSpec) -> Batch:
    return await store.write(
        lambda tx: batches.create_batch(tx, NAMESPACE, name, spec, now=NOW, new_id=new_id)
    )


async def update(store: Store, name: str, changes: dict[str, Any]) -> Batch:
    return await store.write(
        lambda tx: batches.update_batch(tx, NAMESPACE, name, changes, now=LATER)
    )


async def test_what_is_left_out_has_the_defaults_of_the_contract(
    store: Store, new_id: NewId
) -> None:
    batch = await create(store, new_id, "", BatchSpec())
    assert batch.name == "id1"
    assert batch.spec == BatchSpec(
        description="",
        quota_num=200,
        enable_whitelist=1,
        security_type=SecurityType.TOKEN,
        security_key="id2",
        callback_name="",
        labels={"baetyl-batch": "id1"},
        fingerprint=Fingerprint(1, "/var/lib/baetyl/sn/fingerprint.txt", "sn"),
    )


async def test_a_token_of_ones_own_is_kept_and_none_needs_none(store: Store, new_id: NewId) -> None:
    own = await create(store, new_id, "own", BatchSpec(security_key="mine"))
    assert own.spec.security_key == "mine"
    none = await create(store, new_id, "none", BatchSpec(security_type=SecurityType.NONE))
    assert none.spec.security_key == ""


async def test_the_name_of_a_batch_is_given_once(store: Store, new_id: NewId) -> None:
    await create(store, new_id, "b", BatchSpec())
    with pytest.raises(Invalid) as caught:
        await create(store, new_id, "b", BatchSpec())
    assert caught.value.field == "name"


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        (BatchSpec(quota_num=0), "quotaNum"),
        (BatchSpec(enable_whitelist=2), "enableWhitelist"),
        (BatchSpec(callback_name="c"), "callbackName"),
        (BatchSpec(labels={"baetyl-batch": "x"}), "labels.baetyl-batch"),
        (BatchSpec(labels={"a b": "x"}), "labels"),
        (BatchSpec(fingerprint=Fingerprint(type=64)), "fingerprint.type"),
        (BatchSpec(fingerprint=Fingerprint(sn_path="sn.txt")), "fingerprint.snPath"),
    ],
)
async def test_a_bad_batch_is_refused(
    store: Store, new_id: NewId, spec: BatchSpec, field: str
) -> None:
    with pytest.raises(Invalid) as caught:
        await create(store, new_id, "b", spec)
    assert caught.value.field == field


async def test_an_update_changes_what_it_names_and_leaves_the_rest(
    store: Store, new_id: NewId
) -> None:
    before = await create(store, new_id, "b", BatchSpec(description="x", labels={"a": "1"}))
    changes = {"quotaNum": 5, "labels": {"b": "2"}, "fingerprint": {"type": 36}}
    after = await update(store, "b", changes)
    assert after.spec.quota_num == 5
    assert after.spec.labels == {"b": "2", "baetyl-batch": "b"}
    assert after.spec.fingerprint == Fingerprint(36)
    assert after.spec.description == "x"
    assert after.spec.security_key == before.spec.security_key
    assert (after.created, after.updated) == (NOW, LATER)


async def test_an_update_that_changes_nothing_changes_nothing(store: Store, new_id: NewId) -> None:
    before = await create(store, new_id, "b", BatchSpec())
    same = {"quotaNum": 200, "securityType": "Token", "enableWhitelist": 1, "labels": {}}
    assert await update(store, "b", same) == before
    assert await update(store, "b", {}) == before


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"enableWhitelist": 2}, "enableWhitelist"),
        ({"securityType": "None"}, "securityType"),
        ({"securityKey": "other"}, "securityKey"),
        ({"quotaNum": "5"}, "quotaNum"),
        ({"quotaNum": 0}, "quotaNum"),
        ({"fingerprint": []}, "fingerprint"),
        ({"fingerprint": {"typ": 1}}, "fingerprint.typ"),
        ({"quota": 5}, "quota"),
        ({"callbackName": "c"}, "callbackName"),
    ],
)
async def test_what_may_not_change_is_refused_by_name(
    store: Store, new_id: NewId, changes: dict[str, Any], field: str
) -> None:
    before = await create(store, new_id, "b", BatchSpec())
    with pytest.raises(Invalid) as caught:
        await update(store, "b", changes)
    assert caught.value.field == field
    assert await store.read(lambda tx: tx.batch(NAMESPACE, "b")) == before


async def test_a_batch_goes_once_its_records_are_gone(store: Store, new_id: NewId) -> None:
    await create(store, new_id, "b", BatchSpec())

    def add(tx: Transaction) -> None:
        create_record(tx, NAMESPACE, "b", RecordDraft("r"), now=NOW, new_id=new_id)

    await store.write(add)
    with pytest.raises(HasRecords):
        await store.write(lambda tx: batches.delete_batch(tx, NAMESPACE, "b"))
    await store.write(lambda tx: tx.delete_record(NAMESPACE, "b", "r"))
    await store.write(lambda tx: batches.delete_batch(tx, NAMESPACE, "b"))
    for work in (
        lambda tx: batches.existing_batch(tx, NAMESPACE, "b"),
        lambda tx: batches.update_batch(tx, NAMESPACE, "b", {}, now=NOW),
        lambda tx: batches.delete_batch(tx, NAMESPACE, "b"),
    ):
        with pytest.raises(NotFound) as caught:
            await store.write(work)
        assert (caught.value.kind, caught.value.name) == ("batch", "b")


async def test_batches_are_listed_by_page_and_part_of_the_name(store: Store, new_id: NewId) -> None:
    for name in ("a-1", "a-2", "b-1"):
        await create(store, new_id, name, BatchSpec())
    page = await store.read(lambda tx: batches.list_batches(tx, NAMESPACE, PageOptions(1, 1, "A-")))
    assert (page.total, [batch.name for batch in page.items]) == (2, ["a-2"])
