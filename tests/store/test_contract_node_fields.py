"""What every store promises of lists of nodes by the fields of their status."""

import itertools
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from cloud.core.app import App, AppSpec
from cloud.core.certificate import NodeCertificate
from cloud.core.deploys import DeployStatus
from cloud.core.desired import Catalog
from cloud.core.field_selectors import NODE_FIELDS, parse_field_selector
from cloud.core.listing import ListOptions
from cloud.core.node import Node, NodeSpec
from cloud.core.readiness import ReportCadence
from cloud.core.report import Order, read_report
from cloud.core.running import RunningApp
from cloud.core.selectors import matches, parse_selector
from cloud.store.node_selection import NodeSelection
from cloud.store.transaction import Store, Transaction
from tests.builders import open_store
from tests.store.conftest import NOW
from tests.store.on_file import OnFile

SECOND = timedelta(seconds=1)
WEB = App("default", "web", AppSpec(selector="role=gateway"), "2", NOW, NOW)
APPS = {"web": WEB}


@dataclass(frozen=True)
class Planted:
    """A node as it is put: *silence* in intervals of 20 s, None: it never reported."""

    silence: float | None
    rows: tuple[tuple[str, str, str], ...] = ()
    deploy: str = "pending"
    agent: str = ""
    ends: int | None = None
    is_revoked: bool = False
    role: str = "gateway"


NODES: Mapping[str, Planted] = {
    "new": Planted(None),
    "fine": Planted(0, (("web", "2", "running"),), "converged", "1.4.0", 10),
    "fine-2": Planted(2.9, (("web", "2", "running"),), "converged", "1.4.1", 40),
    "stale": Planted(3, (("web", "1", "running"),), "pending", "1.3.0", 40),
    "gone": Planted(6, (("web", "1", "running"),), "pending", "1.3.0", -1),
    "failed": Planted(0, (("web", "2", "failed"),), "failed", "1.4.0", 40),
    "back": Planted(1, (("web", "2", "rolledBack"),), "rolledBack", "1.4.0", 40),
    "both": Planted(1, (("web", "1", "running"), ("web", "2", "refused")), "failed", "baetyl", 40),
    "shut": Planted(0, (("web", "2", "running"),), "converged", "1.4.0", 40, is_revoked=True),
    "camera": Planted(0, (("web", "2", "unselected"), ("old", "1", "running")), role="camera"),
    "camera-2": Planted(9, (("web", "1", "unselected"),), "converged", "1.4.0", role="camera"),
}

CASES: Mapping[str, Sequence[str]] = {
    "status.state=online": ["back", "both", "camera", "failed", "fine", "fine-2"],
    "status.state=stale": ["stale"],
    "status.state=offline": ["camera-2", "gone", "shut"],
    "status.state=never": ["new"],
    "status.state in (stale,never)": ["new", "stale"],
    "status.state!=online": ["camera-2", "gone", "new", "shut", "stale"],
    "status.deploy=converged": ["camera-2", "fine", "fine-2", "shut"],
    "status.deploy=failed": ["back", "both", "failed"],
    "status.deploy=rolledBack": ["back"],
    "status.deploy=pending": ["camera", "gone", "new", "stale"],
    "status.apps.web=running": ["fine", "fine-2", "shut"],
    "status.apps.web=failed": ["back", "both", "failed"],
    "status.apps.web=rolledBack": ["back"],
    "status.apps.web=pending": ["gone", "new", "stale"],
    "status.apps.web=unselected": ["camera", "camera-2"],
    "status.apps.web in (running,pending)": ["fine", "fine-2", "gone", "new", "shut", "stale"],
    "status.apps.web notin (running,pending)": ["back", "both", "camera", "camera-2", "failed"],
    "status.apps.old=running": ["camera"],
    "status.versions.web=1": ["both", "camera-2", "gone", "stale"],
    "status.versions.web in (1,2),status.state=never": [],
    "status.agent=1.4.0": ["back", "camera-2", "failed", "fine", "shut"],
    "status.agent=1.4*": ["back", "camera-2", "failed", "fine", "fine-2", "shut"],
    "status.agent!=*": [],
    "status.agent=": ["camera", "new"],
    "status.certificate.expires<30d": ["fine", "gone"],
    "status.certificate.expires<0d": ["gone"],
    "status.certificate.expires>30d": ["back", "both", "failed", "fine-2", "stale"],
    "metadata.name=*a*": ["back", "camera", "camera-2", "failed", "stale"],
    "metadata.name=fine*,status.state=online": ["fine", "fine-2"],
    "metadata.name in (gone,fine),status.state=offline": ["gone"],
    "metadata.name=gone,status.deploy=pending": ["gone"],
    "status.state=offline,status.apps.web=pending,status.deploy=pending": ["gone"],
    "status.apps.web=failed,status.versions.web=1": ["both"],
}


def plant(tx: Transaction) -> None:
    tx.put_node(Node("other", "fine", NodeSpec({"role": "gateway"}), NOW, NOW))
    for place, (name, one) in enumerate(NODES.items()):
        # In another order than that of the names.
        created = NOW + timedelta(seconds=place * 5 % 7)
        node = Node("default", name, NodeSpec({"role": one.role}), created, created)
        tx.put_node(node)
        if one.silence is not None:
            content = {"core": {"binVersion": one.agent}} if one.agent else {}
            report = read_report(content, Order())
            heard = NOW - one.silence * 20 * SECOND
            tx.put_report("default", name, report, "json", heard, ReportCadence())
            rows = [RunningApp(*row) for row in one.rows]
            tx.put_running("default", name, rows, "x")
        tx.set_deploy_status("default", name, DeployStatus(one.deploy))
        if one.ends is not None:
            ends = NOW + timedelta(days=one.ends)
            tx.put_certificate(NodeCertificate(place, node.id, created, ends, None, "key"))
        if one.is_revoked:
            tx.revoke_certificates(node.id, NOW)


@pytest.fixture
async def planted(store: Store) -> Store:
    await store.write(plant)
    return store


def listed(text: str, selector: str = "", limit: int = 0) -> Callable[[Transaction], list[str]]:
    """The names in the order of the list, page after page; totals have to be right on each."""

    def read(tx: Transaction) -> list[str]:
        options, names = ListOptions(selector, text, limit, now=NOW), []
        totals = set()
        while True:
            page = tx.list_nodes("default", options, Catalog(APPS.values()))
            names += [node.name for node in page.items]
            totals.add(page.total)
            if page.after is None:
                assert totals == {len(names)}
                return names
            options = replace(options, after=page.after)

    return read


async def test_fields_select_nodes(planted: Store) -> None:
    everything = await planted.read(listed(""))
    for text, wanted in CASES.items():
        names = await planted.read(listed(text))
        assert sorted(names) == wanted, text
        assert names == [name for name in everything if name in wanted]
        for selector in ("role=gateway", "role!=camera", "role in (camera,gateway)", "role=none"):
            terms = parse_selector(selector)
            chosen = [name for name in names if matches(terms, {"role": NODES[name].role})]
            assert await planted.read(listed(text, selector)) == chosen
            assert await planted.read(listed(text, selector, 2)) == chosen


async def test_a_node_that_is_made_anew_has_a_status_of_its_own(planted: Store) -> None:
    def again(tx: Transaction) -> None:
        tx.delete_node("default", "shut")
        tx.put_node(Node("default", "shut", NodeSpec(), NOW, NOW))

    await planted.write(again)
    assert await planted.read(listed("status.state=offline")) == ["camera-2", "gone"]
    assert await planted.read(listed("metadata.name=shut,status.state=never")) == ["shut"]


async def test_a_new_certificate_and_stats_count(planted: Store) -> None:
    def certify(tx: Transaction) -> None:
        ends = NOW + timedelta(days=5)
        tx.put_certificate(NodeCertificate(99, "default.shut", NOW, ends, None, "key"))
        tx.put_usage("default", "gone", b"{}", NOW)

    await planted.write(certify)
    assert await planted.read(listed("status.state=offline")) == ["camera-2"]
    found = await planted.read(listed("status.certificate.expires<30d"))
    assert sorted(found) == ["fine", "gone", "shut"]


async def test_nodes_wait_for_a_report_once_they_are_pending(planted: Store) -> None:
    nodes = [("default", "fine"), ("default", "shut"), ("other", "fine"), ("default", "unknown")]
    await planted.write(lambda tx: tx.set_pending_statuses(nodes))
    found = await planted.read(listed("status.deploy=converged"))
    assert sorted(found) == ["camera-2", "fine-2"]


async def test_why_nodes_failed_is_counted(store: Store) -> None:
    causes = {"n1": "image not found", "n2": "exited", "n3": "image not found"}

    def put(tx: Transaction) -> None:
        for name, cause in causes.items():
            tx.put_node(Node("default", name, NodeSpec(), NOW, NOW))
            tx.put_report("default", name, read_report({}, Order()), "json", NOW)
            state = "rolledBack" if name == "n2" else "failed"
            tx.put_running("default", name, [RunningApp("web", "2", state, cause)], "x")

    await store.write(put)
    counted = await store.read(lambda tx: tx.count_causes("default", "web", "2", 5))
    assert counted == [("image not found", 2), ("exited", 1)]
    assert await store.read(lambda tx: tx.count_causes("default", "web", "2", 1)) == counted[:1]
    assert await store.read(lambda tx: tx.is_reported_app("default", "web"))
    assert not await store.read(lambda tx: tx.is_reported_app("other", "web"))


async def test_nodes_with_many_labels_are_selected_with_a_field_too(store: Store) -> None:
    many = {f"key-{number}": f"value-{number}" for number in range(60)}
    fleet = {"few": {"rack": "9", "key-1": "value-1"}, "many": {**many, "rack": "10"}, "none": {}}

    def put(tx: Transaction) -> None:
        for name, own in fleet.items():
            tx.put_node(Node("default", name, NodeSpec(own), NOW, NOW))

    await store.write(put)
    for selector in ("key-1=value-1", "key-1", "!key-1", "rack>9", "rack<10", "key-1!=value-1"):
        terms = parse_selector(selector)
        wanted = [name for name, own in fleet.items() if matches(terms, own)]
        assert await store.read(listed("status.state=never", selector)) == wanted, selector
    await store.write(
        lambda tx: tx.put_node(Node("default", "none", NodeSpec({"rack": "11"}), NOW, NOW))
    )
    assert await store.read(listed("status.state=never", "rack>9")) == ["many", "none"]


async def test_the_way_of_a_statement_changes_nothing_of_what_it_finds(tmp_path: Path) -> None:
    """Few nodes are looked up one by one; else all are met, or those that do not satisfy it."""
    async with open_store(tmp_path) as store:
        await store.write(plant)
    with closing(sqlite3.connect(tmp_path / "edgesync.db")) as connection:
        for text, selector, few in itertools.product(
            CASES, ("", "role=gateway", "role!=gateway", "role!=nothing"), (0, 2, 5, 99)
        ):
            chosen = [
                name
                for name in CASES[text]
                if matches(parse_selector(selector), {"role": NODES[name].role})
            ]
            labelled = sum(
                matches(parse_selector(selector), {"role": one.role}) for one in NODES.values()
            )
            selection = NodeSelection(
                OnFile(connection),
                "default",
                parse_selector(selector),
                parse_field_selector(text, NODE_FIELDS),
                now=NOW,
                apps=APPS,
                few=few,
            )
            found = selection.found(None, 100)
            assert sorted(name for name, _ in found) == chosen, (text, selector, few)
            for first in ((), found[:1], found):
                total = selection.total_with(partial(int, labelled), first)
                assert total == len(chosen), (text, selector, few)
