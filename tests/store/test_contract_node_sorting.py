"""What every store promises of the order of lists of nodes, and of the lines about them."""

import itertools
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from cloud.core.listing import ListOptions, Page
from cloud.core.node import Node, NodeSpec
from cloud.core.node_sorting import NodeField, parse_sorting
from cloud.core.node_summary import NodeFigures
from cloud.core.readiness import ReportCadence
from cloud.core.report import Order, read_report
from cloud.core.running import RunningApp
from cloud.core.usage import UsagePoint
from cloud.errors import Invalid
from cloud.store.node_conditions import moments_of_states
from cloud.store.node_order import first_by_sample, in_order
from cloud.store.rows import Parameters
from cloud.store.selection import AMONG_STATUS
from cloud.store.transaction import Store, Transaction
from tests.builders import open_store
from tests.store.conftest import NOW, node
from tests.store.on_file import OnFile

SECOND = timedelta(seconds=1)
MANY = 800
"""Nodes of which a page takes a sample: each fourth."""

HOST = {"address": "10.0.0.7", "osImage": "Debian 13"}

# Seconds since it was heard, and its share of CPU and memory in ten-thousandths; its age is its
# place here.
NODES: dict[str, tuple[int | None, int | None, int | None]] = {
    "idle": (0, 10, 9000),
    "busy": (10, 9900, 500),
    "new": (None, None, None),
    "late": (70, 10, 100),
    "gone": (200, 5000, None),
    "also-new": (None, None, None),
}
BY_NAME = sorted(NODES)
ORDERS = {
    "created": list(NODES),
    "name": BY_NAME,
    "state": ["gone", "late", "also-new", "new", "busy", "idle"],
    "lastSeen": ["also-new", "new", "gone", "late", "busy", "idle"],
    "cpu": ["also-new", "new", "idle", "late", "gone", "busy"],
    "memory": ["also-new", "gone", "new", "late", "busy", "idle"],
}
"""Names in each order; of equal ones the names decide."""


def plant(tx: Transaction) -> None:
    for place, (name, (silence, cpu, memory)) in enumerate(NODES.items()):
        made = node(name, created=NOW - timedelta(days=1) + place * SECOND)
        tx.put_node(replace(made, spec=NodeSpec({"role": "gateway", "odd": str(place % 2)})))
        if silence is None:
            continue
        content = {"node": {"host": HOST}, "core": {"binVersion": "1.4.0"}, "apps": []}
        heard = NOW - silence * SECOND
        report = read_report(content, Order())
        tx.put_report("default", name, report, "json", heard, ReportCadence(20 * SECOND))
        tx.put_usage_point("default", name, 3, UsagePoint(heard, 250, 2**30, cpu, memory))
        tx.put_running("default", name, [RunningApp("web", "1", "running", "")], "digest")


def pages(
    tx: Transaction, limit: int, sort: str, selector: str = "", field_selector: str = ""
) -> list[str]:
    """Names of all pages of that size."""
    names: list[str] = []
    after = None
    while True:
        asked = ListOptions(selector, field_selector, limit, after, NOW, sort=sort)
        page = tx.list_nodes("default", asked)
        names += [one.name for one in page.items]
        if page.after is None:
            assert page.total == len(names)
            return names
        assert len(page.items) == limit
        after = page.after


def expected(sort: str) -> list[str]:
    ascending = ORDERS[sort.removeprefix("-")]
    return ascending[::-1] if sort.startswith("-") else ascending


@pytest.mark.parametrize("field", [field.value for field in NodeField])
async def test_pages_are_in_the_order_that_is_asked_for(store: Store, field: str) -> None:
    await store.write(plant)
    for sort in (field, f"-{field}"):
        for limit in (1, 4, 0):
            found = await store.read(partial(pages, limit=limit, sort=sort))
            assert found == expected(sort), (sort, limit)
        odd = {name for place, name in enumerate(NODES) if place % 2}
        found = await store.read(partial(pages, limit=2, sort=sort, selector="odd=1"))
        assert found == [name for name in expected(sort) if name in odd]
        field_selector = "metadata.name!=busy,status.state!=never"
        found = await store.read(
            partial(pages, limit=2, sort=sort, selector="role", field_selector=field_selector)
        )
        assert found == [name for name in expected(sort) if name not in {"busy", "new", "also-new"}]


def plant_many(tx: Transaction) -> None:
    """Every third node was heard long ago; values are in no order of the nodes' own."""
    for number in range(MANY):
        name = f"n{number}"
        tx.put_node(node(name, created=NOW + number * SECOND))
        mixed = number * 389 % MANY
        heard = NOW - mixed * 0.01 * SECOND - (3600 * SECOND if number % 3 == 1 else 0 * SECOND)
        report = read_report({"node": {"host": HOST}, "apps": []}, Order())
        tx.put_report("default", name, report, "json", heard, ReportCadence(20 * SECOND))
        usage = UsagePoint(heard, 250, 2**30, mixed // 7, None if number % 5 else mixed)
        tx.put_usage_point("default", name, 3, usage)


def beginning(tx: Transaction, sort: str, field_selector: str) -> None:
    """The first pages have to be those of the whole list, which is sorted without a sample."""
    asked = ListOptions("", field_selector, 0, None, NOW, sort=sort)
    everything = tx.list_nodes("default", asked).items
    page: Page[Node] = Page([], 0)
    for start in range(0, 12, 3):
        page = tx.list_nodes("default", replace(asked, limit=3, after=page.after))
        assert page.items == everything[start : start + 3], (sort, field_selector, start)
        assert page.total == len(everything)


async def test_first_pages_of_many_are_found_by_a_sample(store: Store) -> None:
    await store.write(plant_many)
    for field in ("state", "lastSeen", "cpu", "memory"):
        for sort in (field, f"-{field}"):
            for fields in ("", "metadata.name!=n7,status.state=online"):
                await store.read(partial(beginning, sort=sort, field_selector=fields))


async def test_nodes_of_the_first_state_are_looked_for_among_some(tmp_path: Path) -> None:
    """A page that is not full is found by looking at all."""
    async with open_store(tmp_path) as store:
        await store.write(plant_many)
    with closing(sqlite3.connect(tmp_path / "edgesync.db")) as connection:
        run = OnFile(connection)
        for sort, met in itertools.product(("state", "-state"), (10, 25, MANY, 10 * MANY)):
            values: Parameters = {"namespace": "default", **moments_of_states(NOW)}
            among, sorting = [AMONG_STATUS], parse_sorting(sort)
            everything = in_order(run, among, values, None, MANY, sorting)
            found, _ = first_by_sample(run, among, values, None, 30, sorting, met=met)
            assert list(found) == everything[: len(found)]
            assert (len(found) == 30) == (met >= MANY), (sort, met)


async def test_another_order_is_refused_with_the_nearest(store: Store) -> None:
    with pytest.raises(Invalid, match="did you mean lastSeen"):
        await store.read(partial(pages, limit=1, sort="-lastseen"))


async def test_figures_of_a_page_are_read_at_once(store: Store) -> None:
    await store.write(plant)
    names = ["busy", "new", "none"]

    def check(tx: Transaction) -> None:
        busy = NodeFigures("pending", "1.4.0", 250, 2**30, 9900, 500, {"host": HOST})
        assert tx.node_figures("default", names) == {"busy": busy, "new": NodeFigures()}
        assert tx.running_apps_of("default", names) == {
            "busy": [RunningApp("web", "1", "running")],
            "new": [],
            "none": [],
        }
        assert tx.node_figures("other", names) == tx.node_figures("default", []) == {}

    await store.read(check)
