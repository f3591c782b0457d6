"""A node's report as people see it."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.core.report import Order, StoredReport, read_report, read_usage
from cloud.core.stats import report_view
from cloud.errors import Invalid

RECEIVED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

STATS = {
    "usage": {"cpu": "500m", "memory": "512Mi", "disk": "many"},
    "capacity": {"cpu": "2", "memory": "2Gi"},
}


def stored(content: dict[str, Any], usage: dict[str, Any] | None = None) -> StoredReport:
    later = read_usage({"nodestats": usage}) if usage is not None else None
    return StoredReport(read_report(content, Order()), "json", RECEIVED, later, RECEIVED)


def view(
    content: dict[str, Any], usage: dict[str, Any] | None = None, *, ready: bool = True
) -> dict[str, Any]:
    return report_view(stored(content, usage), ready=ready)


def test_a_node_that_never_reported_has_an_empty_report() -> None:
    assert report_view(None, ready=False) == {
        "time": "",
        "node": {},
        "nodestats": {},
        "core": {},
        "apps": [],
        "sysapps": [],
        "appstats": [],
        "sysappstats": [],
    }


@pytest.mark.parametrize("nodestats", [STATS, {"host": STATS}])
def test_a_single_host_is_flat_and_its_quantities_are_in_one_unit(
    nodestats: dict[str, Any],
) -> None:
    assert view({"nodestats": nodestats})["nodestats"] == {
        "usage": {"cpu": "0.5", "memory": "536870912", "disk": "many"},
        "capacity": {"cpu": "2", "memory": "2147483648"},
        "percent": {"cpu": 0.25, "memory": 0.25},
    }


def test_several_hosts_stay_apart() -> None:
    shown = view({"node": {"a": {"os": "x"}, "b": {}}, "nodestats": {"a": STATS, "b": {}}})
    assert shown["node"] == {"a": {"os": "x"}, "b": {}}
    assert set(shown["nodestats"]) == {"a", "b"}
    assert shown["nodestats"]["a"]["percent"] == {"cpu": 0.25, "memory": 0.25}
    assert shown["nodestats"]["b"]["percent"] == {"cpu": 0.0, "memory": 0.0}


@pytest.mark.parametrize("node", [{"hostname": "h", "labels": {}}, {"x": {"hostname": "h"}}])
def test_the_facts_of_a_single_host_are_flat(node: dict[str, Any]) -> None:
    assert view({"node": node})["node"]["hostname"] == "h"


@pytest.mark.parametrize("reported", [STATS, {"host": STATS}, {}])
@pytest.mark.parametrize("by_host", [True, False])
def test_later_usage_stands_for_that_of_the_report(
    reported: dict[str, Any], *, by_host: bool
) -> None:
    newer = {"usage": {"cpu": "1", "memory": "1Gi"}, "capacity": {"cpu": "2", "memory": "2Gi"}}
    shown = view({"nodestats": reported}, {"host": newer} if by_host else newer)["nodestats"]
    assert shown["usage"]["cpu"] == "1"
    assert shown["percent"] == {"cpu": 0.5, "memory": 0.5}


def test_later_usage_of_several_hosts_goes_to_each_its_own() -> None:
    shown = view(
        {"nodestats": {"a": STATS, "b": STATS}}, {"b": {"usage": {"cpu": "2"}}, "c": STATS}
    )["nodestats"]
    assert shown["a"]["percent"]["cpu"] == 0.25
    assert shown["b"]["percent"] == {"cpu": 1.0, "memory": 0.25}


@pytest.mark.parametrize(
    ("usage", "capacity", "percent"),
    [("3", "2", 1.0), ("1", "0", 0.0), ("x", "2", 0.0), (None, "2", 0.0), (1, 3, 0.3333)],
)
def test_the_part_in_use_is_a_number_from_0_to_1(
    usage: object, capacity: object, percent: float
) -> None:
    stats = {"usage": {"cpu": usage}, "capacity": {"cpu": capacity}}
    assert view({"nodestats": stats})["nodestats"]["percent"]["cpu"] == percent


def test_apps_of_a_node_that_is_not_ready_are_in_an_unknown_state() -> None:
    instance = {"name": "i", "status": "Running", "usage": {"cpu": "10m", "memory": "1Ki"}}
    entry = {"name": "a", "version": "1", "status": "Running", "instances": {"i": instance}}
    content = {"appstats": [entry], "sysappstats": [{"name": "s", "version": "1"}]}
    ready, lost = view(content), view(content, ready=False)
    assert ready["appstats"][0]["status"] == "Running"
    assert ready["appstats"][0]["cause"] == ""
    assert ready["sysappstats"][0]["instances"] == {}
    assert lost["appstats"][0]["status"] == "Unknown"
    shown = lost["appstats"][0]["instances"]["i"]
    assert (shown["status"], shown["usage"]) == ("Running", {"cpu": "0.01", "memory": "1024"})


def test_what_the_page_does_not_name_is_passed_on() -> None:
    assert view({"nodeprops": {"a": "b"}})["nodeprops"] == {"a": "b"}


keys = st.sampled_from(
    ["usage", "capacity", "percent", "cpu", "memory", "host", "name", "version", "instances"]
)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["500m", "1e99", "999999999999999999E", "1e-99"]),
    lambda inside: (
        st.lists(inside, max_size=3)
        | st.dictionaries(st.text(max_size=4) | keys, inside, max_size=4)
    ),
    max_leaves=12,
)
contents = st.dictionaries(
    st.sampled_from(["node", "nodestats", "core", "apps", "appstats", "sysappstats", "time"]),
    json_values
    | st.dictionaries(keys, json_values, max_size=4)
    | st.lists(
        st.fixed_dictionaries(
            {"name": st.just("a"), "version": st.just("1")},
            optional={"instances": json_values, "status": st.just("x")},
        ),
        max_size=2,
    ),
    max_size=5,
)


@given(content=contents, usage=json_values, ready=st.booleans())
def test_whatever_was_stored_can_be_shown(
    content: dict[str, Any], usage: Any, *, ready: bool
) -> None:
    try:
        report = stored(content, usage)
    except Invalid:
        return
    shown = msgspec.json.encode(report_view(report, ready=ready))
    assert msgspec.json.decode(shown)
