from hypothesis import given

from cloud.core.app import App, AppSpec, AppVersion
from cloud.core.desired import Catalog, Desired, GovernedApp, desired_state, selects
from cloud.core.node import Node
from cloud.core.rollout import Rollout, RolloutState
from cloud.core.rollout_policy import RolloutPolicySpec
from tests.core.strategies import START, app_sets, labels, nodes


def app(name: str, selector: str, *, version: str = "1") -> App:
    return App("default", name, AppSpec(selector=selector), version, START, START)


def test_a_node_runs_the_apps_that_select_it() -> None:
    chosen = [app("web", "env=dev"), app("store", "env in (dev,test),zone"), app("clock", "zone=x")]
    own = {"env": "dev", "zone": "a"}
    assert desired_state(own, chosen) == Desired((AppVersion("store", "1"), AppVersion("web", "1")))


@given(labels)
def test_an_empty_selector_selects_nothing(own: dict[str, str]) -> None:
    assert not selects(app("web", ""), own)
    assert not selects(app("web", "  "), own)
    assert desired_state(own, [app("web", "")]) == Desired()


@given(nodes())
def test_the_label_with_its_name_selects_one_node(node: Node) -> None:
    for name in ("n1", "n2", "n3"):
        assert selects(app("web", f"baetyl-node-name={name}"), node.labels) is (node.name == name)


@given(labels, app_sets())
def test_the_order_of_the_apps_does_not_count(own: dict[str, str], known: list[App]) -> None:
    assert desired_state(own, known) == desired_state(own, reversed(known))


@given(labels, app_sets())
def test_desired_apps_are_the_oldest_first(own: dict[str, str], known: list[App]) -> None:
    by_name = {one.name: one for one in known}
    listed = [by_name[one.name] for one in desired_state(own, known).apps]
    assert listed == sorted(listed, key=lambda one: (one.created, one.name))
    assert {one.name for one in listed} == {one.name for one in known if selects(one, own)}


@given(labels, labels, app_sets())
def test_a_catalog_is_that_of_the_function(
    one: dict[str, str], other: dict[str, str], known: list[App]
) -> None:
    catalog = Catalog(known)
    for own in (one, other, dict(reversed(one.items())), other):
        assert catalog.desired_state(own) == desired_state(own, known)


def test_a_version_that_waits_in_a_rollout_selects_its_nodes_already() -> None:
    old, new = app("web", "env=dev"), app("web", "env", version="2")
    rules = RolloutPolicySpec()
    state = RolloutState.RUNNING
    rollout = Rollout("default", "r", "web", "", rules, "1", "2", state, START, START)
    governed = {"web": GovernedApp(new, rollout, {"1": old, "2": new})}
    catalog = Catalog([new, app("shop", "shop=7")], governed=governed)
    assert catalog.selecting({"env": "dev"}) == {AppVersion("web", "1"), AppVersion("web", "2")}
    assert catalog.selecting({"env": "x", "shop": "7"}) == {
        AppVersion("web", "2"),
        AppVersion("shop", "1"),
    }
    assert catalog.selecting({"shop": "8"}) == frozenset()
