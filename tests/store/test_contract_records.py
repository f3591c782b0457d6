"""What every store promises of records, certificates and reports."""

import contextlib
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloud.core.batch import Record
from cloud.core.certificate import NodeCertificate
from cloud.core.listing import PageOptions
from cloud.core.readiness import Heard
from cloud.core.report import Order, Report, Reporter
from cloud.errors import Conflict, HasRecords, NotFound
from cloud.store.transaction import Store, Transaction
from tests import strategies
from tests.store.conftest import (
    LATER,
    NOW,
    batch,
    node,
    record,
    report,
)

some_examples = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

# batches and records


@some_examples
@given(record=strategies.records)
async def test_a_record_is_got_as_it_was_put(store: Store, record: Any) -> None:
    def put_alone(tx: Transaction) -> None:
        tx.put_batch(batch(record.batch, namespace=record.namespace))
        for one in tx.records(record.namespace, record.batch):
            tx.delete_record(one.namespace, one.batch, one.name)
        tx.put_record(record)

    await store.write(put_alone)
    key = (record.namespace, record.batch)
    assert await store.read(lambda tx: tx.record(*key, record.name)) == record
    assert await store.read(lambda tx: tx.records(*key)) == [record]
    spelled = f" {record.fingerprint.upper()}\t"
    assert await store.read(lambda tx: tx.record_by_fingerprint(*key, spelled)) == record
    assert record in await store.read(lambda tx: tx.records_of_node(key[0], record.node_name))


async def test_a_fingerprint_is_there_once_in_a_batch_however_it_is_spelled(store: Store) -> None:
    def put_alike(tx: Transaction) -> None:
        tx.put_batch(batch())
        tx.put_batch(batch("other"))
        tx.put_record(record("r1", "SN-1"))
        tx.put_record(record("r1", "SN-1", batch="other"))
        with pytest.raises(Conflict) as caught:
            tx.put_record(record("r2", " sn-1"))
        assert (caught.value.kind, caught.value.name) == ("record", "r2")
        tx.put_record(record("r2", "sn-2"))
        with pytest.raises(Conflict):
            tx.put_record(record("r2", "sn-1"))

    await store.write(put_alike)
    kept = await store.read(lambda tx: tx.records("default", "b"))
    assert [(one.name, one.fingerprint) for one in kept] == [("r1", "SN-1"), ("r2", "sn-2")]


steps = st.tuples(
    st.sampled_from(["put", "add", "delete"]), st.sampled_from("abc"), st.sampled_from("xyz")
)


@some_examples
@given(steps=st.lists(steps, max_size=10))
async def test_records_are_counted_whatever_comes_and_goes(
    store: Store, steps: list[tuple[str, str, str]]
) -> None:
    def step(tx: Transaction, what: str, name: str, fingerprint: str) -> None:
        if what == "put":
            tx.put_record(record(name, fingerprint))
        elif what == "add":
            tx.add_records("default", "b", [name, fingerprint], NOW)
        else:
            tx.delete_record("default", "b", name)

    def begin(tx: Transaction) -> None:
        tx.put_batch(batch())
        for one in tx.records("default", "b"):
            tx.delete_record("default", "b", one.name)

    def counted(tx: Transaction) -> list[int]:
        listed = tx.list_records("default", "b", PageOptions())
        return [tx.count_records("default", "b"), listed.total, len(tx.records("default", "b"))]

    await store.write(begin)
    for one in steps:
        with contextlib.suppress(Conflict):
            await store.write(partial(step, what=one[0], name=one[1], fingerprint=one[2]))
        await store.write(lambda tx: tx.put_batch(batch(key="another")))
        count, *same = await store.read(counted)
        assert same == [count, count]


async def test_records_are_added_by_name_all_or_none(store: Store) -> None:
    def put(tx: Transaction) -> None:
        tx.put_batch(batch())
        tx.put_batch(batch("other"))
        tx.put_record(record("taken", "SPELLED", batch="b"))
        tx.add_records("default", "other", ["z", "a", "taken"], NOW)

    async def added(*names: str, to: str = "b") -> None:
        await store.write(lambda tx: tx.add_records("default", to, names, LATER))

    await store.write(put)
    for names in (("new", "taken"), ("new", "spelled"), ("new", "new")):
        with pytest.raises(Conflict):
            await added(*names)
    with pytest.raises(NotFound):
        await added("new", to="none")
    assert await store.read(lambda tx: tx.fingerprints("default", "b")) == ["SPELLED"]
    await added("y", "x")
    assert await store.read(lambda tx: tx.fingerprints("default", "b")) == ["SPELLED", "x", "y"]
    kept = await store.read(lambda tx: tx.records("default", "other"))
    assert kept == [
        Record("default", "other", name, name, name, NOW, NOW) for name in ("a", "taken", "z")
    ]
    found = await store.read(lambda tx: tx.record_by_fingerprint("default", "other", " Z"))
    assert found == kept[2]


async def test_a_record_may_take_a_fingerprint_that_was_given_up(store: Store) -> None:
    def give_up(tx: Transaction) -> None:
        tx.put_batch(batch())
        tx.put_record(record("r1", "sn-1"))
        tx.put_record(record("r1", "sn-9"))
        tx.put_record(record("r2", "sn-1"))

    await store.write(give_up)
    found = await store.read(lambda tx: tx.record_by_fingerprint("default", "b", "SN-1"))
    assert found is not None
    assert found.name == "r2"


async def test_records_are_counted_listed_and_deleted_by_batch(store: Store) -> None:
    def put_some(tx: Transaction) -> None:
        for name in ("a", "b"):
            tx.put_batch(batch(name))
            tx.put_record(replace(record("later", "1", batch=name), created=LATER))
            tx.put_record(replace(record("x", "2", batch=name), created=NOW, node_name="other"))
        assert tx.delete_record("default", "b", "x")
        assert not tx.delete_record("default", "b", "x")

    await store.write(put_some)
    assert await store.read(lambda tx: tx.count_records("default", "a")) == 2
    assert await store.read(lambda tx: tx.count_records("default", "b")) == 1
    assert await store.read(lambda tx: tx.count_records("default", "c")) == 0
    assert [r.name for r in await store.read(lambda tx: tx.records("default", "a"))] == [
        "x",
        "later",
    ]
    of_node = await store.read(lambda tx: tx.records_of_node("default", "n"))
    assert [(one.batch, one.name) for one in of_node] == [("a", "later"), ("b", "later")]


async def test_a_record_needs_its_batch(store: Store) -> None:
    with pytest.raises(NotFound) as caught:
        await store.write(lambda tx: tx.put_record(record(batch="b")))
    assert (caught.value.kind, caught.value.name) == ("batch", "b")


async def test_a_batch_stays_while_it_has_records(store: Store) -> None:
    def put_both(tx: Transaction) -> None:
        tx.put_batch(batch())
        tx.put_record(record())

    await store.write(put_both)
    with pytest.raises(HasRecords):
        await store.write(lambda tx: tx.delete_batch("default", "b"))
    await store.write(lambda tx: tx.put_batch(batch(key="another")))
    assert await store.read(lambda tx: tx.count_records("default", "b")) == 1


# certificates


@some_examples
@given(certificate=strategies.certificates)
async def test_a_certificate_is_got_as_it_was_put(store: Store, certificate: Any) -> None:
    await store.write(lambda tx: tx.put_certificate(certificate))
    assert await store.read(lambda tx: tx.certificate(certificate.serial)) == certificate
    unused = certificate.serial + 2**160  # longer than any serial number that is given out
    assert await store.read(lambda tx: tx.certificate(unused)) is None


async def test_revoking_takes_back_every_certificate_of_the_node_once(store: Store) -> None:
    def put_some(tx: Transaction) -> None:
        for serial, owner in ((2**159, "default.n"), (2**159 + 1, "default.n"), (3, "default.m")):
            tx.put_certificate(NodeCertificate(serial, owner, NOW, LATER))
        tx.put_certificate(NodeCertificate(4, "default.n", NOW, LATER, revoked=NOW))

    await store.write(put_some)
    assert await store.write(lambda tx: tx.revoke_certificates("default.n", LATER)) == 2
    assert await store.write(lambda tx: tx.revoke_certificates("default.n", LATER)) == 0
    serials = (2**159, 2**159 + 1, 3, 4)
    kept = await store.read(lambda tx: [tx.certificate(serial) for serial in serials])
    assert [one.revoked for one in kept if one] == [LATER, LATER, None, NOW]


async def test_the_keys_of_a_node_are_those_of_certificates_not_taken_back(store: Store) -> None:
    def put_some(tx: Transaction) -> None:
        for serial, key, revoked in ((1, "a", None), (2, "a", None), (3, "", None), (4, "b", NOW)):
            tx.put_certificate(NodeCertificate(serial, "default.n", NOW, LATER, revoked, key))
        tx.put_certificate(NodeCertificate(5, "default.m", NOW, LATER, key="c"))

    await store.write(put_some)
    assert await store.read(lambda tx: tx.live_keys("default.n")) == {"a", ""}
    await store.write(lambda tx: tx.revoke_certificates("default.n", LATER))
    assert await store.read(lambda tx: tx.live_keys("default.n")) == frozenset()


# reports


@some_examples
@given(report=strategies.reports, encoding=strategies.encodings, now=strategies.moments)
async def test_a_report_is_got_as_it_was_put(
    store: Store, report: Report, encoding: str, now: datetime
) -> None:
    def put_report(tx: Transaction) -> None:
        tx.put_node(node())
        tx.put_report("default", "n", report, encoding, now)

    await store.write(put_report)
    kept = await store.read(lambda tx: tx.report("default", "n"))
    assert kept is not None
    assert (kept.report, kept.encoding, kept.received) == (report, encoding, now)
    reporter = await store.read(lambda tx: tx.reporter("default", "n"))
    assert reporter == Reporter(node().labels, report.order, heard=Heard(now), deploy="pending")


async def test_a_node_that_never_reported_has_nothing_to_show(store: Store) -> None:
    await store.write(lambda tx: tx.put_node(node()))
    assert await store.read(lambda tx: tx.report("default", "n")) is None
    reporter = await store.read(lambda tx: tx.reporter("default", "n"))
    assert reporter == Reporter(node().labels, None, deploy="pending")
    assert await store.read(lambda tx: tx.reporter("default", "other")) is None
    assert await store.read(lambda tx: tx.reporter("other", "n")) is None
    assert await store.write(lambda tx: tx.put_usage("default", "n", b"{}", NOW)) is None
    assert await store.read(lambda tx: tx.report("default", "n")) is None


async def test_usage_stands_beside_the_report_until_the_next_one(store: Store) -> None:
    def put_report(tx: Transaction) -> None:
        tx.put_node(node())
        tx.put_report("default", "n", report(Order("a", 1)), "json", NOW)

    await store.write(put_report)
    assert await store.write(lambda tx: tx.put_usage("default", "n", b'{"x":1}', LATER)) == 0
    kept = await store.read(lambda tx: tx.report("default", "n"))
    assert kept is not None
    assert (kept.usage, kept.usage_received, kept.received) == (b'{"x":1}', LATER, NOW)
    assert await store.read(lambda tx: tx.heard("default", "n")) == Heard(NOW, LATER)

    await store.write(lambda tx: tx.put_report("default", "n", report(), "msgpack", NOW))
    kept = await store.read(lambda tx: tx.report("default", "n"))
    assert kept is not None
    assert (kept.usage, kept.usage_received, kept.encoding) == (None, None, "msgpack")
    reporter = await store.read(lambda tx: tx.reporter("default", "n"))
    assert reporter == Reporter(node().labels, Order(), heard=Heard(NOW), deploy="pending")


async def test_a_report_needs_its_node(store: Store) -> None:
    with pytest.raises(NotFound) as caught:
        await store.write(lambda tx: tx.put_report("default", "n", report(), "json", NOW))
    assert (caught.value.kind, caught.value.name) == ("node", "n")
