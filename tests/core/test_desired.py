from hypothesis import given

from cloud.core.app import App, AppSpec
from cloud.core.desired import AppVersion, Catalog, Desired, desired_state, nodes_affected, selects
from cloud.core.node import Node
from tests.core.strategies import START, app_sets, apps, labels, nodes


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
def test_a_catalog_says_what_the_function_says(
    one: dict[str, str], other: dict[str, str], known: list[App]
) -> None:
    catalog = Catalog(known)
    for own in (one, other, dict(reversed(one.items())), other):
        assert catalog.desired_state(own) == desired_state(own, known)


def _with(known: list[App], name: str, changed: App | None) -> list[App]:
    others = [one for one in known if one.name != name]
    return others if changed is None else [*others, changed]


@given(app_sets(), apps(), nodes(), nodes())
def test_every_node_whose_desired_state_changed_is_affected(
    known: list[App], after: App, one: Node, other: Node
) -> None:
    before = next((app for app in known if app.name == after.name), None)
    fleet = [one, other]
    for changed in (after, None):
        affected = nodes_affected(fleet, before, changed)
        for node in fleet:
            was = desired_state(node.labels, known)
            is_now = desired_state(node.labels, _with(known, after.name, changed))
            assert was == is_now or node in affected


@given(apps(), nodes())
def test_no_node_is_affected_that_ran_it_neither_before_nor_after(app: App, node: Node) -> None:
    assert nodes_affected([node], None, None) == []
    if not selects(app, node.labels):
        assert nodes_affected([node], app, None) == nodes_affected([node], None, app) == []
