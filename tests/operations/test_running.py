"""The stored apps of nodes are those of their last reports, in any order of events."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import count
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloud.core.app import App
from cloud.core.node import NodeSpec
from cloud.core.report import Order, read_report
from cloud.core.running import RunningApp, running_apps
from cloud.core.selectors import matches
from cloud.operations.apps import create_app, delete_app, update_app
from cloud.operations.nodes import create_node, delete_node, update_node
from cloud.operations.overview import overview, rollout_of_app
from cloud.operations.reports import receive_report
from cloud.store.transaction import Store, Transaction
from tests.operations.conftest import NAMESPACE, NOW, app_spec

NODES, APPS, ROLES = ("n1", "n2", "n3"), ("web", "logs"), ("a", "b")
STATUSES = ("Running", "Failed", "Pending")

reported = st.tuples(
    st.lists(
        # A version, or what is sent: the desired one.
        st.tuples(st.sampled_from((*APPS, "unknown")), st.sampled_from(("1", "wanted"))),
        max_size=4,
    ),
    st.none() | st.dictionaries(st.sampled_from(APPS), st.sampled_from(STATUSES)),
    st.sampled_from(("", "baetyl-core", "baetyl-init")),
)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("app"), st.sampled_from(APPS), st.sampled_from(ROLES)),
        st.tuples(st.just("no app"), st.sampled_from(APPS), st.none()),
        st.tuples(st.just("node"), st.sampled_from(NODES), st.sampled_from(ROLES)),
        st.tuples(st.just("no node"), st.sampled_from(NODES), st.none()),
        st.tuples(st.just("report"), st.sampled_from(NODES), reported),
        st.tuples(st.just("report"), st.sampled_from(NODES), reported),
    ),
    min_size=10,
    max_size=30,
)


def take(tx: Transaction, kind: str, name: str, what: Any, clock: Iterator[int]) -> None:
    now = NOW + timedelta(seconds=next(clock))
    if kind == "app":
        spec = app_spec(f"role={what}", image=f"nginx:{next(clock)}")
        if tx.app(NAMESPACE, name) is None:
            create_app(tx, NAMESPACE, name, spec, now=now)
        else:
            update_app(tx, NAMESPACE, name, spec, now=now)
    elif kind == "no app" and tx.app(NAMESPACE, name) is not None:
        delete_app(tx, NAMESPACE, name)
    elif kind == "node":
        spec_of_node = NodeSpec(labels={"role": what})
        if tx.node(NAMESPACE, name) is None:
            create_node(tx, NAMESPACE, name, spec_of_node, now=now)
        else:
            update_node(tx, NAMESPACE, name, spec_of_node, now=now)
    elif kind == "no node" and tx.node(NAMESPACE, name) is not None:
        delete_node(tx, NAMESPACE, name, now=now)
    elif kind == "report" and tx.node(NAMESPACE, name) is not None:
        apps, statuses, source = what
        report = read_report(content_of(tx, apps, statuses), Order())
        receive_report(tx, f"{NAMESPACE}.{name}", report, "json", now=now, source=source)


def content_of(tx: Transaction, apps: Any, statuses: Any) -> Any:
    named = []
    for name, version in apps:
        app = tx.app(NAMESPACE, name)
        named.append({"name": name, "version": app.version if app and version != "1" else "1"})
    content: dict[str, Any] = {"apps": named}
    if statuses is not None:
        content["appstats"] = [
            {"name": one["name"], "version": one["version"], "status": statuses[one["name"]]}
            for one in named
            if one["name"] in statuses
        ]
    return content


def check(tx: Transaction) -> None:
    apps = tx.catalog(NAMESPACE).apps
    rows: dict[str, set[tuple[str, str, str]]] = {}
    for node in tx.nodes(NAMESPACE):
        stored = tx.report(NAMESPACE, node.name)
        noted = tx.running_apps(NAMESPACE, node.name)
        rows[node.name] = {(app.name, app.version, app.state) for app in noted}
        current_apps: Sequence[RunningApp] = ()
        if stored is not None:
            report = read_report(msgspec.json.decode(stored.report.document), Order())
            wanted = tx.catalog(NAMESPACE).desired_state(node.labels).apps
            current_apps = running_apps(report, wanted)
        assert [(a.name, a.version) for a in noted] == [
            (a.name, a.version) for a in sorted(current_apps)
        ]
        # Whether it is selected is known for certain of the version that is wanted.
        current = {(app.name, app.version) for app in apps.values()}
        assert {row for row in rows[node.name] if row[:2] in current} == {
            (app.name, app.version, app.state)
            for app in current_apps
            if (app.name, app.version) in current
        }
    seen = {one.app.name: one for one in overview(tx, NAMESPACE, now=NOW).apps}
    assert set(seen) == set(apps)
    for app in apps.values():
        selected = [n.name for n in tx.nodes(NAMESPACE) if matches(app.selector, n.labels)]
        rollout = rollout_of_app(tx, NAMESPACE, app.name)
        assert rollout == seen[app.name]
        assert rollout.selected == len(selected)
        for state, counted in (("running", rollout.running), ("failed", rollout.failed)):
            row = (app.name, app.version, state)
            assert counted == sum(row in rows[name] for name in selected)
        assert rollout.selected == rollout.running + rollout.failed + rollout.pending


@settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(story=steps)
async def test_the_stored_apps_are_those_of_the_last_reports(store: Store, story: Any) -> None:
    def run(tx: Transaction) -> None:
        for node in tx.nodes(NAMESPACE):
            tx.delete_node(NAMESPACE, node.name)
        for app in tx.resources(App, NAMESPACE):
            tx.delete_resource(App.kind, NAMESPACE, app.name)
        clock = count()
        for name in APPS:
            take(tx, "app", name, ROLES[0], clock)
        for name in NODES:
            take(tx, "node", name, ROLES[0], clock)
        for kind, name, what in story:
            take(tx, kind, name, what, clock)
            check(tx)

    await store.write(run)


class Counting:
    """A transaction that counts what is written beside the report."""

    def __init__(self, tx: Transaction) -> None:
        self.tx, self.written = tx, 0

    def __getattr__(self, name: str) -> Any:
        self.written += name in {"put_running", "put_usage_point", "set_usage_step"}
        return getattr(self.tx, name)


async def test_an_unchanged_report_writes_nothing_else(store: Store) -> None:
    content = {
        "apps": [{"name": "web", "version": "1"}],
        "nodestats": {"usage": {"cpu": "1", "memory": "1Gi"}},
    }

    def story(tx: Transaction) -> None:
        create_node(tx, NAMESPACE, "n1", NodeSpec(), now=NOW)

        def written(seconds: int, **more: Any) -> int:
            counting: Any = Counting(tx)
            report = read_report({**content, **more}, Order())
            now = NOW.replace(minute=5, second=0) + timedelta(seconds=seconds)
            receive_report(counting, f"{NAMESPACE}.n1", report, "json", now=now)
            return int(counting.written)

        assert written(0) == 3
        assert [written(seconds) for seconds in (20, 40, 299)] == [0, 0, 0]
        assert written(300) == 2
        assert written(310, apps=[]) == 1
        assert written(320, apps=[]) == 0

    await store.write(story)
