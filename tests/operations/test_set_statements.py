"""What is done for a group of nodes takes a handful of statements, however many nodes there are."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import timedelta
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import pytest

from cloud.core.audit import DEVICE, Action, Attempt, Chain
from cloud.core.batch import BatchSpec, SecurityType
from cloud.core.kinds import APP
from cloud.core.node import NodeSpec
from cloud.core.objects import cannot_sign
from cloud.core.report import Order, read_report
from cloud.core.rollout import Assignment, AssignmentState
from cloud.core.rollout_policy import AppChoice, RolloutPolicy, RolloutPolicySpec
from cloud.operations.activation import (
    ActivatingDevice,
    Claim,
    activate,
    expect_devices,
)
from cloud.operations.apps import create_app, update_app
from cloud.operations.audit import carry_out
from cloud.operations.batches import create_batch
from cloud.operations.desires import Info, InfoKind, deliver
from cloud.operations.events import number_events
from cloud.operations.nodes import create_node
from cloud.operations.reports import deltas_for, receive_report, receive_usage, record_sent
from cloud.store.cache import StoreCache
from cloud.store.key_encryption import KEY_BYTES
from cloud.store.parts.audit import PUT_AUDIT_ENTRY, PUT_AUDIT_HEAD
from cloud.store.parts.part import Run
from cloud.store.postgres_connection import CONCURRENT, PostgresConnection
from cloud.store.rows import Parameters, Row
from cloud.store.sealing import Sealer
from cloud.store.sqlite_connection import SqliteConnection
from cloud.store.statements import SetStatement, Statement
from cloud.store.threads import DatabaseConnection
from cloud.store.transaction import Transaction
from tests.conftest import StoreFactory
from tests.operations.conftest import NAMESPACE, NOW, app_spec
from tests.operations.test_activation import ActivationAuthority

T = TypeVar("T")

FEW, MANY = 5, 60
SECOND = timedelta(seconds=1)


class Counted:
    """A `Run` that counts statements by their text; a set of rows is one."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self.statements: Counter[str] = Counter()

    def __call__(self, statement: Statement, parameters: Parameters, /) -> Sequence[Row]:
        self.statements[statement.sqlite] += 1
        return self._run(statement, parameters)

    def each(self, statement: Statement, rows: Sequence[Parameters], /) -> None:
        self.statements[statement.sqlite] += 1 if isinstance(statement, SetStatement) else len(rows)
        self._run.each(statement, rows)


class StatementSite:
    """A database and a connection to it; a second passes before each transaction."""

    def __init__(self, connection: DatabaseConnection) -> None:
        self._connection = connection
        self._seconds = count(1)
        self._sealer, self._cache, self._chain = Sealer(bytes(KEY_BYTES)), StoreCache(), Chain(b"k")
        self.now = NOW
        self.names: list[str] = []

    def statements(self, work: Callable[[Transaction], object]) -> Counter[str]:
        """What *work* takes, committed."""
        self.now = NOW + next(self._seconds) * SECOND

        def run(run: Run) -> Counter[str]:
            counted = Counted(run)
            tx = Transaction(counted, self._sealer, self._cache, self._chain)
            work(tx)
            tx.finish()
            return counted.statements

        return self._connection.in_transaction(run)


@pytest.fixture
async def site(
    open_again: StoreFactory, database_url: Callable[[Path], str], tmp_path: Path
) -> Any:
    async with open_again(tmp_path):
        pass
    url = database_url(tmp_path)
    connection: DatabaseConnection = (
        PostgresConnection(url, CONCURRENT, patience=timedelta(seconds=10))
        if url
        else SqliteConnection(
            tmp_path / "edgesync.db", lock_wait=timedelta(seconds=5), read_only=False
        )
    )
    with closing(connection):
        yield StatementSite(connection)


def report_all(tx: Transaction, site: StatementSite, **content: Any) -> None:
    tx.expect_nodes([(NAMESPACE, name) for name in site.names])
    for name in site.names:
        report = read_report(content, Order("run", int(site.now.timestamp())))
        receive_report(tx, f"{NAMESPACE}.{name}", report, "json", now=site.now)


def update_all(tx: Transaction, site: StatementSite) -> int:
    pushes = deltas_for(tx, [(NAMESPACE, name) for name in site.names], now=site.now)
    record_sent(tx, pushes, now=site.now)
    return len(pushes)


def use(cpu: str) -> dict[str, Any]:
    return {"usage": {"cpu": cpu}, "capacity": {"cpu": "4"}}


def story(site: StatementSite) -> Iterator[tuple[str, Counter[str]]]:
    """What nodes of a fleet go through: the statements of each step, a transaction."""

    def put(image: str) -> dict[str, str]:
        made: dict[str, str] = {}

        def work(tx: Transaction) -> None:
            there = tx.app(NAMESPACE, "web") is not None
            spec = app_spec(image=image)
            act = update_app if there else create_app
            app = act(tx, NAMESPACE, "web", spec, now=site.now)
            made.update(name=app.name, version=app.version)

        site.statements(work)
        return made

    def step(what: str, work: Callable[[Transaction], object]) -> tuple[str, Counter[str]]:
        return what, site.statements(work)

    def desire(tx: Transaction) -> None:
        tx.expect_nodes([(NAMESPACE, name) for name in site.names])
        for name in site.names:
            infos = [Info(InfoKind.APP, "web")]
            deliver(tx, f"{NAMESPACE}.{name}", infos, presign=cannot_sign)

    def usage(tx: Transaction) -> None:
        tx.expect_nodes([(NAMESPACE, name) for name in site.names])
        for name in site.names:
            receive_usage(tx, f"{NAMESPACE}.{name}", b'{"nodestats":{}}', now=site.now)

    yield step("first report", lambda tx: report_all(tx, site, apps=[], nodestats=use("1")))
    web = put("nginx:1")
    yield step("update", lambda tx: update_all(tx, site))
    yield step("desire", desire)
    other = put("nginx:2")
    yield step("update of an update", lambda tx: update_all(tx, site))
    stats = [{**web, "status": "Running"}]
    yield step("late report", lambda tx: report_all(tx, site, apps=[web], appstats=stats))
    stats = [{**other, "status": "Running"}]
    yield step("report", lambda tx: report_all(tx, site, apps=[other], appstats=stats))
    yield step("same report", lambda tx: report_all(tx, site, apps=[other], appstats=stats))
    yield step("stats", usage)
    yield step("numbers of events", lambda tx: number_events(tx, limit=1000, now=site.now))


async def test_a_group_takes_the_statements_of_a_few(site: StatementSite) -> None:
    def statements_of(nodes: int) -> dict[str, Counter[str]]:
        site.names = [f"n{nodes}-{number}" for number in range(nodes)]

        def create(tx: Transaction) -> None:
            if tx.app(NAMESPACE, "web") is not None:
                tx.delete_resource(APP, NAMESPACE, "web")
            for name in site.names:
                create_node(tx, NAMESPACE, name, NodeSpec({"role": "gateway"}), now=site.now)

        site.statements(create)
        return dict(story(site))

    few, many = statements_of(FEW), statements_of(MANY)
    grown = {step: many[step] - few[step] for step in few}
    assert {step: dict(one) for step, one in grown.items() if one} == {}
    assert max(sum(one.values()) for one in many.values()) <= 15


async def test_a_report_of_nodes_under_a_rollout_takes_one_statement_more(
    site: StatementSite,
) -> None:
    def plant(tx: Transaction) -> None:
        for number in range(MANY):
            create_node(tx, NAMESPACE, f"n{number}", NodeSpec({"role": "gateway"}), now=site.now)
        create_app(tx, NAMESPACE, "web", app_spec(), now=site.now)

    site.statements(plant)
    site.names = [f"n{number}" for number in range(MANY)]

    def report(version: str) -> Counter[str]:
        apps = [{"name": "web", "version": version}]
        stats = [{**app, "status": "Running"} for app in apps]
        return site.statements(lambda tx: report_all(tx, site, apps=apps, appstats=stats))

    report("1")
    report("1")
    before = report("1")

    def govern(tx: Transaction) -> None:
        spec = RolloutPolicySpec(apps=AppChoice(names=("web",)))
        tx.put_resource(RolloutPolicy(NAMESPACE, "p", spec, tx.next_version(), site.now, site.now))
        update_app(tx, NAMESPACE, "web", app_spec(image="nginx:2"), now=site.now)
        rollout = tx.newest_rollout(NAMESPACE, "web")
        assert rollout is not None
        rows = [
            Assignment(name, "web", "1", "1", AssignmentState.UPDATED) for name in site.names[::2]
        ]
        tx.put_assignments(NAMESPACE, rows)

    site.statements(govern)
    report("1")
    more = report("1") - before
    assert list(more.values()) == [1]
    assert "assignment" in next(iter(more))


async def test_an_activation_in_a_group_takes_few_statements(site: StatementSite) -> None:
    spec = BatchSpec(
        security_type=SecurityType.NONE, enable_whitelist=0, labels={"a": "1", "b": "2"}
    )

    def create(tx: Transaction) -> None:
        create_batch(tx, NAMESPACE, "b", spec, now=site.now, new_id=lambda: "i")

    def activate_all(tx: Transaction, start: int, nodes: int) -> None:
        claims = [Claim("b", f"sn-{number}", NAMESPACE) for number in range(start, start + nodes)]
        expect_devices(tx, claims)
        for serial, claim in enumerate(claims, start):
            device = ActivatingDevice("key", f"digest {serial}", "192.0.2.1")
            attempt = Attempt(DEVICE, Action.RECORD_ACTIVATE, site.now, NAMESPACE)
            work = partial(
                activate,
                authority=ActivationAuthority(),
                claim=claim,
                device=device,
                now=site.now,
                serial=serial,
                delivery_id="d",
            )
            carry_out(tx, attempt, work, named=lambda made: made.node_name)

    site.statements(create)
    few = site.statements(lambda tx: activate_all(tx, 0, FEW))
    many = site.statements(lambda tx: activate_all(tx, FEW, MANY))
    grown = {text: number - few[text] for text, number in many.items() if number > few[text]}
    # The log is a chain, each entry of which has to be the last one when it is written.
    assert grown == {PUT_AUDIT_ENTRY.sqlite: MANY - FEW, PUT_AUDIT_HEAD.sqlite: MANY - FEW}
    again = site.statements(lambda tx: activate_all(tx, FEW, MANY))
    assert max(again[text] for text in again.keys() - grown.keys()) <= 2
