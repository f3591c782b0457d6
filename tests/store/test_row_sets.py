"""What a transaction knows of rows is what a new one finds, whatever it has put meanwhile."""

from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloud.core.audit import Chain
from cloud.core.certificate import NodeCertificate
from cloud.core.deploys import Deploy
from cloud.core.encryption_key import EncryptionKey
from cloud.core.node import NodeSpec
from cloud.core.properties import Properties
from cloud.core.report import Order
from cloud.core.rollout import Assignment, AssignmentState
from cloud.core.running import RunningApp
from cloud.core.usage import UsagePoint
from cloud.store.cache import StoreCache
from cloud.store.key_encryption import KEY_BYTES
from cloud.store.parts.part import Run
from cloud.store.postgres_connection import WRITE, PostgresConnection
from cloud.store.sealing import Sealer
from cloud.store.sqlite_connection import SqliteConnection
from cloud.store.threads import DatabaseConnection
from cloud.store.transaction import Transaction
from tests.conftest import StoreFactory
from tests.store.conftest import LATER, NOW, batch, node, record, report

NAMES = ("a", "b", "c")
DAY = timedelta(days=1)

Act = Callable[[Transaction, str, int], object]

ACTS: dict[str, Act] = {
    "node": lambda tx, name, n: tx.put_node(node(name)),
    "labels": lambda tx, name, n: tx.put_node(
        node(name).__class__("default", name, NodeSpec({"l": str(n)}), NOW, NOW)
    ),
    "no node": lambda tx, name, n: tx.delete_node("default", name),
    "report": lambda tx, name, n: tx.put_report(
        "default", name, report(Order("r", n), n=n), "json", NOW + n * timedelta(seconds=1)
    ),
    "usage": lambda tx, name, n: tx.put_usage("default", name, b"{}", LATER),
    "deploy": lambda tx, name, n: tx.put_deploy(
        "default", name, Deploy(n + 1, NOW, NOW), is_open=True
    ),
    "closed": lambda tx, name, n: tx.put_deploy(
        "default", name, Deploy(n + 1, NOW, LATER), is_open=False
    ),
    "old deploys": lambda tx, name, n: tx.delete_old_deploys("default", name, n),
    "running": lambda tx, name, n: tx.put_running(
        "default", name, [RunningApp("web", str(n), "running")], str(n)
    ),
    "step": lambda tx, name, n: tx.set_usage_step("default", name, n),
    "point": lambda tx, name, n: tx.put_usage_point("default", name, n, UsagePoint(NOW, n)),
    "ready": lambda tx, name, n: tx.record_ready("default", name, NOW),
    "properties": lambda tx, name, n: tx.put_properties(
        "default", name, Properties(report={"n": n})
    ),
    "certificate": lambda tx, name, n: tx.put_certificate(
        NodeCertificate(n + 1, f"default.{name}", NOW, NOW + n * DAY, key=str(n))
    ),
    "revoked": lambda tx, name, n: tx.revoke_certificates(f"default.{name}", NOW),
    "encryption key": lambda tx, name, n: tx.put_encryption_key(
        "default", name, EncryptionKey(str(n), n)
    ),
    "no encryption key": lambda tx, name, n: tx.delete_encryption_key("default", name),
    "pending": lambda tx, name, n: tx.mark_pending([node(name)]),
    "record": lambda tx, name, n: tx.put_record(record(name, f"SN-{name}")),
    "assigned": lambda tx, name, n: tx.put_assignments(
        "default", [Assignment(name, "web", str(n), "0", AssignmentState.ADMITTED)]
    ),
    "assigned another": lambda tx, name, n: tx.put_assignments(
        "default", [Assignment(name, f"app{n}", "1", "", AssignmentState.WAITING)]
    ),
    "not assigned": lambda tx, name, n: tx.delete_assignments("default", "web", [name]),
    "no record": lambda tx, name, n: tx.delete_record("default", "b", name),
}
NEED_A_REPORT = {"running", "step"}
FREE = {"node", "labels", "no node", "usage", "pending", "revoked", "record", "no record"}
FREE |= {"no encryption key", "not assigned"}

stories = st.lists(
    st.tuples(st.sampled_from(sorted(ACTS)), st.sampled_from(NAMES), st.integers(0, 3)),
    max_size=25,
)


def known(tx: Transaction, name: str) -> list[Any]:
    """All that is looked up for many."""
    return [
        tx.node("default", name),
        tx.seen_node("default", name),
        tx.reporter("default", name),
        tx.report("default", name),
        tx.heard("default", name),
        tx.properties("default", name),
        tx.open_deploy("default", name),
        tx.last_deploy("default", name),
        tx.live_keys(f"default.{name}"),
        tx.record("default", "b", name),
        tx.record_by_fingerprint("default", "b", f"SN-{name}"),
        list(tx.records_of_node("default", "n")),
        tx.count_records("default", "b"),
        list(tx.running_apps("default", name)),
        tx.is_pending("default", name),
        tx.certificate_end("default", name),
        tx.encryption_key("default", name),
        tx.assignments_of_node("default", name),
        tx.assigned_to_each([("default", one) for one in NAMES]),
    ]


@pytest.fixture
async def connection(
    open_again: StoreFactory, database_url: Callable[[Path], str], tmp_path: Path
) -> Any:
    async with open_again(tmp_path):
        pass
    wait = timedelta(seconds=5)
    url = database_url(tmp_path)
    opened: DatabaseConnection = (
        PostgresConnection(url, WRITE, patience=wait)
        if url
        else SqliteConnection(tmp_path / "edgesync.db", lock_wait=wait, read_only=False)
    )
    with closing(opened):
        yield opened


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(story=stories, looks=st.sets(st.integers(0, 24)))
async def test_what_is_known_is_what_there_is(
    connection: DatabaseConnection, story: list[tuple[str, str, int]], looks: set[int]
) -> None:
    """After some of the acts what is known is compared; in between rows wait to be written."""

    def work(run: Run) -> None:
        def transaction() -> Transaction:
            return Transaction(run, Sealer(bytes(KEY_BYTES)), StoreCache(), Chain(b"k"))

        first = transaction()
        for name in NAMES:
            first.delete_node("default", name)
            first.revoke_certificates(f"default.{name}", NOW)
            first.delete_record("default", "b", name)
        first.put_batch(batch())
        first.finish()
        tx = transaction()
        tx.expect_nodes([("default", name) for name in NAMES])
        tx.expect_fingerprints([("default", "b", f"SN-{name}") for name in NAMES])
        for name in NAMES:
            tx.expect_record("default", "b", name, "n")
            known(tx, name)
        for place, (act, name, number) in enumerate(story):
            is_there = tx.node("default", name) is not None
            if not is_there and act not in FREE:
                continue
            if act in NEED_A_REPORT and tx.report("default", name) is None:
                continue
            # No deploy but the newest of a node is ever open.
            last = tx.last_deploy("default", name)
            if act == "deploy" and last is not None and last.number > number + 1:
                continue
            ACTS[act](tx, name, number)
            if place in looks:
                found = [known(tx, one) for one in NAMES]
                tx.finish()
                assert [known(transaction(), one) for one in NAMES] == found, story[: place + 1]
        found = [known(tx, one) for one in NAMES]
        tx.finish()
        assert [known(transaction(), one) for one in NAMES] == found

    connection.in_transaction(work)
