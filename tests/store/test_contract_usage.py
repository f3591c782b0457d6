"""What every store promises of what runs in a fleet, what its nodes use, and its figures."""

from collections import Counter
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.core.batch import Record
from cloud.core.callback import Callback, CallbackSpec
from cloud.core.certificate import NodeCertificate
from cloud.core.readiness import OFFLINE_AFTER_INTERVALS, NodeState
from cloud.core.running import RunningApp
from cloud.core.sending import Delivery
from cloud.core.usage import UsagePoint
from cloud.errors import NotFound
from cloud.store.parts.pending_nodes import PendingCounts
from cloud.store.transaction import Store, Transaction
from tests.store.conftest import LATER, NOW, batch, node, report
from tests.store.test_contract import some_examples

DAY = timedelta(days=1)
SELECTOR = "role=gateway"


def add(tx: Transaction, *names: str, namespace: str = "default") -> None:
    for name in names:
        tx.put_node(node(name, namespace))
        tx.put_report(namespace, name, report(), "json", NOW)


async def test_what_a_node_runs_is_as_it_was_noted_last(store: Store) -> None:
    first = [RunningApp("web", "1", "running"), RunningApp("logs", "3", "failed")]
    second = [RunningApp("web", "2", "pending"), RunningApp("logs", "3", "running")]

    def story(tx: Transaction) -> None:
        add(tx, "n", "m")
        for apps, digest in ((first, "a"), (second, "b"), (second, "c"), ([], "")):
            tx.put_running("default", "n", apps, digest)
            assert tx.running_apps("default", "n") == sorted(apps)
            reporter = tx.reporter("default", "n")
            assert reporter is not None
            assert reporter.running == digest
        assert tx.running_apps("default", "m") == []

    await store.write(story)


async def test_what_nodes_run_is_counted_by_version_and_state(store: Store) -> None:
    def put(tx: Transaction) -> None:
        add(tx, "n", "m", "o")
        add(tx, "n", namespace="other")
        both = [RunningApp("web", "1", "running"), RunningApp("web", "2", "pending")]
        tx.put_running("default", "n", both, "a")
        tx.put_running("default", "m", both[1:], "b")
        tx.put_running("default", "o", [RunningApp("web", "2", "failed")], "c")
        tx.put_running("other", "n", both, "a")

    def counted(tx: Transaction) -> object:
        return tx.count_running("default", "web")

    await store.write(put)
    assert await store.read(counted) == {
        ("1", "running"): 1,
        ("2", "pending"): 2,
        ("2", "failed"): 1,
    }
    await store.write(lambda tx: tx.delete_node("default", "n"))
    assert await store.read(counted) == {("2", "pending"): 1, ("2", "failed"): 1}
    assert await store.read(lambda tx: tx.count_running("default", "other")) == {}


apps_of_a_node = st.dictionaries(
    st.tuples(st.sampled_from(["web", "logs"]), st.sampled_from(["1", "2"])),
    st.sampled_from(["running", "failed", "rolledBack"]),
)


@some_examples
@given(
    steps=st.lists(st.tuples(st.sampled_from(["n", "m"]), st.none() | apps_of_a_node), max_size=8)
)
async def test_what_nodes_run_is_counted_whatever_changed(
    store: Store, steps: list[tuple[str, dict[tuple[str, str], str] | None]]
) -> None:
    """As counting all of them anew; None: the node is deleted, and made again without a report."""
    there: dict[str, dict[tuple[str, str], str]] = {}

    def work(tx: Transaction) -> None:
        for name in ("n", "m"):
            tx.delete_node("default", name)
        add(tx, "n", "m")
        for number, (name, apps) in enumerate(steps):
            there[name] = apps or {}
            if apps is None:
                tx.delete_node("default", name)
                add(tx, name)
            else:
                running = [RunningApp(*key, state) for key, state in apps.items()]
                tx.put_running("default", name, running, str(number))
            counted = Counter(
                (version, state)
                for apps in there.values()
                for (app, version), state in apps.items()
                if app == "web"
            )
            assert tx.count_running("default", "web") == counted

    await store.write(work)


async def test_the_first_nodes_that_failed_are_named(store: Store) -> None:
    def work(tx: Transaction) -> None:
        add(tx, "n", "m", "o")
        tx.put_running("default", "n", [RunningApp("web", "2", "failed")], "a")
        refused = [RunningApp("web", "1", "running"), RunningApp("web", "2", "refused")]
        tx.put_running("default", "m", refused, "b")
        tx.put_running("default", "o", [RunningApp("web", "2", "running")], "c")
        assert tx.failed_nodes("default", "web", "2", 5) == ["m", "n"]
        assert tx.failed_nodes("default", "web", "2", 1) == ["m"]
        assert tx.failed_nodes("default", "web", "1", 5) == []

    await store.write(work)


async def test_nodes_that_an_app_is_for_are_counted_as_they_change(store: Store) -> None:
    def selected(tx: Transaction) -> tuple[int, int]:
        return tx.count_selected("default", SELECTOR), tx.count_selected("default", "")

    assert await store.read(selected) == (0, 0)
    await store.write(lambda tx: add(tx, "n", "m"))
    await store.write(lambda tx: add(tx, "n", namespace="other"))
    assert await store.read(selected) == (2, 0)
    await store.write(lambda tx: tx.delete_node("default", "n"))
    assert await store.read(selected) == (1, 0)


async def test_who_does_not_run_it_and_is_not_there_is_counted(store: Store) -> None:
    soon, gone = NOW + OFFLINE_AFTER_INTERVALS * timedelta(seconds=20), NOW + DAY

    def put(tx: Transaction) -> None:
        add(tx, "runs", "failed", "older", "stats")
        tx.put_node(node("never"))
        for name, version, state in [
            ("runs", "2", "running"),
            ("failed", "2", "failed"),
            ("older", "1", "running"),
            ("stats", "1", "running"),
        ]:
            tx.put_running("default", name, [RunningApp("web", version, state)], "x")
        tx.put_usage("default", "stats", b"{}", gone)

    await store.write(put)
    for now, away in ((soon - timedelta(microseconds=1), 1), (soon, 3), (gone, 3)):
        counted = await store.read(
            lambda tx, now=now: tx.count_away("default", SELECTOR, "web", "2", now)  # type: ignore[misc]
        )
        assert counted == away, now
    assert await store.read(lambda tx: tx.count_away("default", "", "web", "2", gone)) == 0
    assert await store.read(lambda tx: tx.count_away("default", "role=x", "web", "2", gone)) == 0


async def test_points_of_usage_are_got_in_the_order_of_their_times(store: Store) -> None:
    old = UsagePoint(NOW, 250, 2**40, 625, 2500)
    new, newest = UsagePoint(LATER), UsagePoint(NOW + DAY, 1, 2, 3, 4)

    def story(tx: Transaction) -> None:
        add(tx, "n", "m")
        tx.put_usage_point("default", "n", 7, new)
        tx.put_usage_point("default", "n", 8, old)
        tx.put_usage_point("default", "m", 8, newest)
        assert tx.usage_points("default", "n", NOW - DAY) == [old, new]
        assert tx.usage_points("default", "n", NOW) == [new]
        tx.put_usage_point("default", "n", 8, newest)
        assert tx.usage_points("default", "n", NOW - DAY) == [new, newest]
        tx.delete_node("default", "n")
        assert tx.usage_points("default", "n", NOW - DAY) == []

    await store.write(story)


async def test_a_point_of_usage_needs_its_node(store: Store) -> None:
    with pytest.raises(NotFound):
        await store.write(lambda tx: tx.put_usage_point("default", "n", 1, UsagePoint(NOW)))


async def test_which_step_had_its_point_is_known_with_report_and_stats(store: Store) -> None:
    def story(tx: Transaction) -> None:
        add(tx, "n")
        tx.set_usage_step("default", "n", 41)
        tx.put_report("default", "n", report(), "json", LATER)
        reporter = tx.reporter("default", "n")
        assert reporter is not None
        assert reporter.usage_step == 41
        assert tx.put_usage("default", "n", b"{}", LATER) == 41

    await store.write(story)


async def test_the_figures_of_a_namespace_are_its_own(store: Store) -> None:
    def put(tx: Transaction) -> None:
        add(tx, "n", "m")
        add(tx, "n", "m", "o", namespace="other")
        tx.put_node(node("never"))
        tx.mark_pending([node("n"), node("n", "other"), node("m", "other")])
        for name, namespace, ends in (("n", "default", DAY), ("m", "default", 5 * DAY)):
            serial = len(name + namespace) + ends.days
            tx.put_certificate(NodeCertificate(serial, f"{namespace}.{name}", NOW, NOW + ends))
        tx.put_certificate(NodeCertificate(99, "other.n", NOW, NOW + DAY))
        for namespace in ("default", "other"):
            tx.put_batch(batch(namespace=namespace))
            tx.put_callback(Callback(namespace, "c", CallbackSpec(url="https://x.test"), NOW, NOW))
        tx.put_delivery(Delivery("due", "default", "c", "{}", NOW, NOW + DAY))
        tx.put_delivery(Delivery("given up", "default", "c", "{}", NOW, None))
        for name, namespace, when in [
            ("a", "default", NOW),
            ("b", "default", LATER),
            ("c", "default", None),
            ("d", "other", LATER),
        ]:
            tx.put_record(
                Record(namespace, "b", name, name, name, NOW, NOW, active_time=when, active=True)
            )

    await store.write(put)

    def look(tx: Transaction) -> None:
        assert tx.count_states_in("default", NOW) == {
            NodeState.ONLINE: 2,
            NodeState.STALE: 0,
            NodeState.OFFLINE: 0,
            NodeState.NEVER: 1,
        }
        assert tx.count_states_in("default", NOW + DAY)[NodeState.OFFLINE] == 2
        assert sum(tx.count_states_in("third", NOW).values()) == 0
        assert tx.count_ends_in("default", [NOW, NOW + 2 * DAY, NOW + 9 * DAY]) == [0, 1, 2]
        assert tx.count_activations("default", NOW - DAY) == 2
        assert tx.count_activations("default", NOW) == 1
        assert tx.count_waiting_in("default") == PendingCounts(1, 1)
        assert tx.count_waiting_in("other") == PendingCounts(2, 0)

    await store.read(look)
