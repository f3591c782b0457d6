import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.core.app import App, AppVersion
from cloud.core.delta import apply, diff
from cloud.core.desired import Desired, desired_state
from cloud.core.node import Node
from cloud.core.report import Order, Reported, read_report
from tests.core.strategies import app_lists, app_sets, nodes, reports

WEB, STORE = AppVersion("web", "12"), AppVersion("store", "15")

desires = st.builds(Desired, app_lists, app_lists)


@given(reports, app_sets(), nodes())
def test_obeying_the_delta_converges(reported: Reported, known: list[App], node: Node) -> None:
    desired = desired_state(node.labels, known)
    assert diff(apply(reported, diff(reported, desired)), desired) == {}


@given(reports, desires)
def test_obeying_the_delta_converges_whatever_is_desired(
    reported: Reported, desired: Desired
) -> None:
    obeyed = apply(reported, diff(reported, desired))
    assert diff(obeyed, desired) == {}
    assert sorted(obeyed.apps or ()) == sorted(desired.apps)
    if desired.sysapps:
        assert sorted(obeyed.sysapps or ()) == sorted(desired.sysapps)
    else:
        assert obeyed.sysapps == reported.sysapps


@given(reports, app_sets(), nodes())
def test_a_node_that_reports_the_desired_state_receives_no_delta(
    reported: Reported, known: list[App], node: Node
) -> None:
    desired = desired_state(node.labels, known)
    if delta := diff(reported, desired):
        decoded = json.loads(json.dumps(delta))
        assert diff(read_report(decoded, Order()).reported, desired) == {}


@given(reports, reports, desires)
def test_a_delta_is_all_or_nothing(one: Reported, other: Reported, desired: Desired) -> None:
    deltas = [delta for delta in (diff(one, desired), diff(other, desired)) if delta]
    assert all("apps" in delta for delta in deltas)
    assert len(deltas) < 2 or deltas[0] == deltas[1]


@given(desires, st.data())
def test_the_order_of_a_report_does_not_count(desired: Desired, data: st.DataObject) -> None:
    apps = tuple(data.draw(st.permutations(desired.apps)))
    assert diff(Reported(apps, desired.sysapps), desired) == {}


@pytest.mark.parametrize(
    "apps",
    [(), (WEB,), (WEB, AppVersion("store", "14")), (WEB, STORE, AppVersion("x", "1"))],
)
def test_any_difference_brings_the_whole_desired_state(apps: tuple[AppVersion, ...]) -> None:
    assert diff(Reported(apps, ()), Desired((WEB, STORE))) == {
        "apps": [{"name": "web", "version": "12"}, {"name": "store", "version": "15"}],
    }


def test_unmanaged_system_apps_are_left_unchanged() -> None:
    installed = (AppVersion("baetyl-core", "1"), AppVersion("baetyl-broker", "1"))
    assert diff(Reported((WEB,), installed), Desired((WEB,))) == {}
    assert "sysapps" not in diff(Reported((), installed), Desired((WEB,)))
    managed = Desired((WEB,), installed[:1])
    assert diff(Reported((WEB,), installed), managed) == {
        "apps": [{"name": "web", "version": "12"}],
        "sysapps": [{"name": "baetyl-core", "version": "1"}],
    }


def test_the_lists_are_always_in_the_same_order() -> None:
    desired = Desired((STORE, WEB))
    for reported in (Reported(), Reported(()), Reported((WEB,)), Reported((WEB, WEB, STORE))):
        if delta := diff(reported, desired):
            assert [app["name"] for app in delta["apps"]] == ["store", "web"]


def test_two_versions_of_an_app_are_a_difference() -> None:
    both = (WEB, AppVersion("web", "11"))
    assert diff(Reported(both, ()), Desired((WEB,)))["apps"] == [{"name": "web", "version": "12"}]


def test_a_list_not_known_yet_differs_when_something_is_desired() -> None:
    assert diff(Reported(None, None), Desired()) == {}
    assert diff(Reported(None, ()), Desired((WEB,))) != {}
    assert diff(Reported((WEB,), None), Desired((WEB,))) == {}


def test_a_version_is_opaque() -> None:
    assert diff(Reported((AppVersion("web", "012"),), ()), Desired((WEB,))) != {}


@given(reports)
def test_an_empty_delta_changes_nothing(reported: Reported) -> None:
    assert apply(reported, {}) == reported
