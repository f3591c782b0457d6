"""What every store promises of rollouts, assignments and the versions that they are of."""

from dataclasses import replace
from datetime import timedelta

import msgspec
import pytest

from cloud.core.app import App, AppSpec, AppVersion, Ref, Volume
from cloud.core.config import Config, ConfigItem, ConfigSpec, KeyValue
from cloud.core.core_configuration import Mode
from cloud.core.desired import Catalog
from cloud.core.kinds import CONFIG, SECRET
from cloud.core.listing import ListOptions
from cloud.core.node import NodeSpec
from cloud.core.rollout import Assignment, AssignmentState, Rollout, RolloutState, rollout_name
from cloud.core.rollout_policy import RolloutPolicySpec
from cloud.core.running import RunningApp
from cloud.core.secret import Secret, SecretSpec
from cloud.core.selectors import parse_selector
from cloud.store.transaction import Store, Transaction
from tests.store.conftest import NOW, app, node, report
from tests.store.test_contract_usage import add

MINUTE = timedelta(minutes=1)
USES = AppSpec(
    selector="role=gateway",
    volumes=(Volume("c", config=Ref("conf")), Volume("s", secret=Ref("password"))),
)


def using(version: str, text: str) -> App:
    spec = msgspec.structs.replace(USES, description=text)
    return App("default", "web", spec, version, NOW, NOW)


def config(version: str) -> Config:
    spec = ConfigSpec(data=(ConfigItem("a.conf", KeyValue(f"text {version}")),))
    return Config("default", "conf", spec, version, NOW, NOW)


def secret(version: str) -> Secret:
    return Secret("default", "password", SecretSpec({"k": f"secret {version}"}), version, NOW, NOW)


def rollout(
    base: str, target: str, state: RolloutState = RolloutState.RUNNING, of: str = "web"
) -> Rollout:
    return Rollout(
        "default",
        rollout_name(of, target),
        of,
        "careful",
        RolloutPolicySpec(),
        base,
        target,
        state,
        NOW + int(target) * MINUTE,
        NOW,
    )


def assignment(
    name: str,
    version: str,
    previous: str = "1",
    state: AssignmentState = AssignmentState.ADMITTED,
    stage: int = 0,
) -> Assignment:
    return Assignment(name, "web", version, previous, state, stage, admitted=NOW)


async def test_a_pinned_version_stays_whole_whatever_becomes_of_its_parts(store: Store) -> None:
    def story(tx: Transaction) -> None:
        for one in (config("1"), secret("2"), using("3", "first")):
            tx.put_resource(one)
        tx.pin_version(using("3", "first"))
        tx.put_resource(config("4"))
        tx.pin_version(using("3", "first"))
        tx.put_resource(using("5", "second"))
        tx.pin_version(using("5", "second"))
        tx.delete_resource(App.kind, "default", "web")
        tx.delete_resource(CONFIG, "default", "conf")
        tx.delete_resource(SECRET, "default", "password")

    await store.write(story)

    def look(tx: Transaction) -> None:
        assert tx.pinned_app("default", "web", "3") == using("3", "first")
        assert tx.pinned_app("default", "web", "5") == using("5", "second")
        assert tx.pinned_app("default", "web", "4") is None
        assert tx.pinned_uses("default", "web", "3") == {
            (CONFIG, "conf"): "1",
            (SECRET, "password"): "2",
        }
        assert tx.pinned_uses("default", "web", "5")[CONFIG, "conf"] == "4"
        assert tx.pinned_uses("default", "web", "4") == {}
        assert tx.pinned_body(Config, "default", "conf", "1") == config("1")
        assert tx.pinned_body(Config, "default", "conf", "4") == config("4")
        assert tx.pinned_body(Secret, "default", "password", "2") == secret("2")
        assert tx.pinned_body(Secret, "default", "password", "1") is None
        assert tx.pinned_users("default", CONFIG, "conf") == ["web"]
        assert tx.pinned_users("default", CONFIG, "other") == []
        assert tx.pinned_users("other", CONFIG, "conf") == []

    await store.read(look)


async def test_versions_that_nodes_run_or_may_return_to_are_kept(store: Store) -> None:
    def story(tx: Transaction) -> None:
        tx.put_node(node())
        tx.put_resource(secret("1"))
        for version in "23456":
            tx.put_resource(config(version))
            tx.put_resource(using(version, version))
            tx.pin_version(using(version, version))
        tx.put_assignments("default", [assignment("n", "3", previous="4")])
        tx.unpin_versions("default", "other", ())
        tx.unpin_versions("default", "web", ["6"])

    await store.write(story)

    def kept(tx: Transaction) -> list[str]:
        found = [one for one in "23456" if tx.pinned_app("default", "web", one)]
        bodies = [one for one in "23456" if tx.pinned_body(Config, "default", "conf", one)]
        assert found == bodies
        return found

    assert await store.read(kept) == ["3", "4", "6"]

    def finish(tx: Transaction) -> list[str]:
        tx.delete_assignments("default", "web")
        tx.unpin_versions("default", "web", ())
        return kept(tx)

    assert await store.write(finish) == []
    assert await store.read(lambda tx: tx.pinned_body(Secret, "default", "password", "1")) is None


async def test_rollouts_are_listed_and_the_newest_is_known(store: Store) -> None:
    first = rollout("1", "9", RolloutState.SUPERSEDED)
    second = rollout("1", "10")
    other = rollout("", "2", RolloutState.DONE, of="other")

    def put(tx: Transaction) -> None:
        for one in (second, first, other):
            tx.put_rollout(one)
        elsewhere = msgspec.structs.replace(first, namespace="other", state=RolloutState.PAUSED)
        tx.put_rollout(elsewhere)

    await store.write(put)

    def look(tx: Transaction) -> None:
        assert tx.rollout("default", "web.9") == first
        assert tx.rollout("default", "web.11") is None
        assert tx.newest_rollout("default", "web") == second
        assert tx.newest_rollout("default", "none") is None
        going = tx.rollouts_in([RolloutState.RUNNING, RolloutState.PAUSED])
        assert [(one.namespace, one.name) for one in going] == [
            ("other", "web.9"),
            ("default", "web.10"),
        ]
        page = tx.list_rollouts("default", ListOptions(limit=2))
        assert [one.name for one in page.items] == ["other.2", "web.9"]
        assert page.total == 3
        rest = tx.list_rollouts("default", ListOptions(limit=2, after=page.after))
        assert ([one.name for one in rest.items], rest.after) == (["web.10"], None)
        assert tx.list_rollouts("default", ListOptions(), "web").items == [first, second]

    await store.read(look)
    paused = msgspec.structs.replace(second, state=RolloutState.PAUSED, cause="2 nodes failed")
    await store.write(lambda tx: tx.put_rollout(paused))
    assert await store.read(lambda tx: tx.newest_rollout("default", "web")) == paused
    await store.write(lambda tx: tx.delete_old_rollouts("default", "web", 1))
    left = await store.read(lambda tx: tx.list_rollouts("default", ListOptions()).items)
    assert left == [other, paused]


async def test_assignments_are_those_of_a_node_and_of_an_app(store: Store) -> None:
    def put(tx: Transaction) -> None:
        for name in "abc":
            tx.put_node(node(name))
        one = assignment("a", "2")
        other = msgspec.structs.replace(one, app="clock", version="", previous="7")
        tx.put_assignments("default", [one, assignment("b", "2", stage=1), other])
        tx.put_assignments("default", [assignment("gone", "2")])
        failed = assignment("b", "1", state=AssignmentState.FAILED, stage=1)
        tx.put_assignments("default", [failed])

    await store.write(put)

    def look(tx: Transaction) -> None:
        tx.expect_nodes([("default", name) for name in "abc"])
        assert tx.assigned_versions("default", "a") == {"web": "2", "clock": ""}
        assert tx.assigned_versions("default", "b") == {"web": "1"}
        assert tx.assigned_versions("default", "c") == {}
        assert tx.assigned_versions("other", "a") == {}
        assert tx.assignments_of_node("default", "a")["web"] == assignment("a", "2")
        assert tx.assignments("default", "web") == {
            "a": assignment("a", "2"),
            "b": assignment("b", "1", state=AssignmentState.FAILED, stage=1),
        }

    await store.read(look)

    def change(tx: Transaction) -> None:
        assert tx.assigned_versions("default", "a")["web"] == "2"
        tx.put_assignments("default", [assignment("a", "3")])
        assert tx.assigned_versions("default", "a")["web"] == "3"
        tx.delete_node("default", "b")
        tx.delete_assignments("default", "clock")
        assert tx.assigned_versions("default", "a") == {"web": "3"}
        tx.put_assignments("default", [assignment("c", "3")])
        tx.delete_assignments("default", "web", ["c"])
        assert tx.assigned_versions("default", "c") == {}
        tx.delete_assignments("default", "web", ["a"])
        tx.put_assignments("default", [assignment("a", "3")])

    await store.write(change)
    assert await store.read(lambda tx: list(tx.assignments("default", "web"))) == ["a"]


async def test_a_catalog_has_the_apps_whose_newest_rollout_binds_nodes(store: Store) -> None:
    def look(tx: Transaction) -> Catalog:
        return tx.catalog("default")

    def begin(tx: Transaction) -> None:
        tx.put_node(node())
        tx.put_resource(app("web", version="1"))
        tx.pin_version(app("web", version="1"))
        tx.put_resource(app("web", version="2"))
        tx.put_rollout(rollout("1", "2"))

    await store.write(begin)
    going = await store.read(look)
    assert set(going.governed["web"].versions) == {"1", "2"}
    labels = node().labels
    assert going.desired_state(labels).apps == (AppVersion("web", "1"),)
    assert going.desired_state(labels, {"web": "2"}).apps == (AppVersion("web", "2"),)
    assert going.desired_state(labels, {"web": ""}).apps == ()
    counted = msgspec.structs.replace(rollout("1", "2"), revision=7, updated=NOW + MINUTE)
    await store.write(lambda tx: tx.put_rollout(counted))
    assert await store.read(look) is going
    paused = rollout("1", "2", RolloutState.PAUSED)
    await store.write(lambda tx: tx.put_rollout(paused))
    assert (await store.read(look)).governed["web"].rollout == paused
    await store.write(lambda tx: tx.put_rollout(rollout("1", "2", RolloutState.DONE)))
    assert not (await store.read(look)).governed
    # An older one binds nothing, nor does one that another version has gone past.
    await store.write(lambda tx: tx.put_rollout(rollout("0", "1")))
    assert not (await store.read(look)).governed
    await store.write(lambda tx: tx.put_rollout(rollout("2", "3")))
    assert set((await store.read(look)).governed) == {"web"}
    await store.write(lambda tx: tx.put_resource(app("web", version="4")))
    last = await store.read(look)
    assert not last.governed
    assert last.desired_state(labels, {"web": "1"}).apps == (AppVersion("web", "4"),)


async def test_fields_and_counts_are_of_the_version_for_each_node(store: Store) -> None:
    def put(tx: Transaction) -> None:
        add(tx, "waits", "updated", "failed", "back", "none")
        tx.put_resource(app("web", version="1"))
        tx.pin_version(app("web", version="1"))
        tx.put_resource(app("web", version="2"))
        tx.put_rollout(rollout("1", "2"))
        for name, version, state in [
            ("waits", "1", "running"),
            ("updated", "2", "running"),
            ("failed", "2", "failed"),
            ("back", "2", "running"),
        ]:
            tx.put_running("default", name, [RunningApp("web", version, state, "")], "x")
        tx.put_assignments(
            "default",
            [
                assignment("updated", "2"),
                assignment("failed", "2"),
                assignment("back", "1", state=AssignmentState.RETURNING),
                assignment("none", ""),
            ],
        )

    await store.write(put)

    def named(tx: Transaction, fields: str) -> list[str]:
        options = ListOptions("", fields, now=NOW)
        return sorted(one.name for one in tx.list_nodes("default", options, catalog(tx)).items)

    def catalog(tx: Transaction) -> Catalog:
        return tx.catalog("default")

    def look(tx: Transaction) -> None:
        assert named(tx, "status.apps.web=running") == ["updated", "waits"]
        assert named(tx, "status.apps.web=failed") == ["failed"]
        assert named(tx, "status.apps.web=pending") == ["back"]
        assert named(tx, "status.apps.web!=running") == ["back", "failed", "none"]
        assert tx.count_wanted("default", "web", "1") == {"running": 2, "failed": 1}
        assert tx.failed_nodes("default", "web", "1", 5, is_governed=True) == ["failed"]
        assert tx.count_causes("default", "web", "1", 5, is_governed=True) == [("", 1)]
        away = ("default", "role=gateway", "web", "1", NOW + timedelta(days=1))
        # "none" is offline, too, and does not have to run it.
        assert tx.count_away(*away, is_governed=True) == 2

    await store.read(look)


async def test_old_rollouts_do_not_outlive_their_nodes_or_namespaces(store: Store) -> None:
    def put(tx: Transaction) -> None:
        tx.put_node(node("n", "other"))
        tx.put_assignments("other", [assignment("n", "2")])

    await store.write(put)
    assert await store.read(lambda tx: tx.assigned_versions("default", "n")) == {}
    made_anew = replace(node("n", "other"), created=NOW + MINUTE)

    def again(tx: Transaction) -> None:
        tx.delete_node("other", "n")
        tx.put_node(made_anew)

    await store.write(again)
    assert await store.read(lambda tx: tx.assigned_versions("other", "n")) == {}


@pytest.mark.parametrize("others", [0, 9])
async def test_the_nodes_of_a_rollout_are_found_among_few_and_many(
    store: Store, others: int
) -> None:
    heard = NOW - MINUTE / 2

    def put(tx: Transaction) -> None:
        for name in ("a", "b", "silent"):
            tx.put_node(node(name))
        for number in range(others):
            tx.put_node(replace(node(f"other{number}"), spec=NodeSpec({"role": "till"})))
        for name in ("a", "b"):
            tx.put_report("default", name, report(), "json", heard)

    await store.write(put)
    terms = parse_selector("role=gateway")

    def look(tx: Transaction) -> None:
        found = tx.fleet_nodes("default", terms, now=NOW, judged=["a", "gone"])
        assert sorted((one.name, one.is_online, one.last_report) for one in found) == [
            ("a", True, heard),
            ("b", True, None),
            ("silent", False, None),
        ]

    await store.read(look)


@pytest.mark.parametrize("others", [0, 9])
async def test_a_node_in_local_mode_is_away(store: Store, others: int) -> None:
    def put(tx: Transaction) -> None:
        for mode in Mode:
            tx.put_node(replace(node(mode.value), mode=mode))
            tx.put_report("default", mode.value, report(), "json", NOW)
        for number in range(others):
            tx.put_node(replace(node(f"other{number}"), spec=NodeSpec({"role": "till"})))
        # Of the same name, in another namespace.
        tx.put_node(replace(node(Mode.CLOUD.value, "other"), mode=Mode.LOCAL))

    await store.write(put)
    found = await store.read(
        lambda tx: tx.fleet_nodes("default", parse_selector("role=gateway"), now=NOW)
    )
    assert {one.name: one.is_online for one in found} == {"cloud": True, "local": False}


async def test_assignments_of_a_group_are_those_of_each_of_its_nodes(store: Store) -> None:
    names = [f"n{number}" for number in range(40)]
    places = [("default", name) for name in (*names, "none", "gone")]
    others = [assignment(name, "3") for name in names[:2]]
    another = [replace_app(assignment(name, "1"), "clock") for name in names[1:4]]

    def put(tx: Transaction) -> None:
        for name in (*names, "none"):
            tx.put_node(node(name))
        tx.put_assignments("default", [assignment(name, "2") for name in names])
        tx.put_assignments("default", [*others, *another])

    await store.write(put)

    def look(tx: Transaction) -> None:
        tx.expect_nodes(places)
        found = [dict(one.versions) for one in tx.assigned_to_each(places)]
        both = {"clock": "1", "web": "2"}
        assert found == [
            *({"web": "3"}, {**both, "web": "3"}, both, both),
            *[{"web": "2"}] * 36,
            *({}, {}),
        ]

    def look_at_each(tx: Transaction) -> None:
        one_by_one = [tx.assigned(*place) for place in places]
        assert tx.assigned_to_each(places) == one_by_one
        assert {one.node for one in tx.assignments_of_node("default", "n1").values()} == {"n1"}

    await store.read(look)
    await store.read(look_at_each)


async def test_nodes_that_are_not_there_are_left_out_among_many(store: Store) -> None:
    names = [f"n{number:02}" for number in range(40)]
    there = [name for name in names if name != "n07"]

    def put(tx: Transaction) -> None:
        for name in there:
            tx.put_node(node(name))
        tx.put_assignments("default", [assignment(name, "1") for name in there[:3]])
        tx.put_assignments("default", [assignment(name, "2") for name in names])
        tx.put_assignments("default", [assignment(there[0], "3")])

    await store.write(put)
    rows = await store.read(lambda tx: tx.assignments("default", "web"))
    assert rows == {name: assignment(name, "2" if name > "n00" else "3") for name in there}


def replace_app(one: Assignment, app: str) -> Assignment:
    return msgspec.structs.replace(one, app=app)
