from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.core.app import AppVersion
from cloud.core.decoding import DEPTH_LIMIT
from cloud.core.report import (
    RUN_LIMIT,
    Order,
    Report,
    Reported,
    read_interval,
    read_order,
    read_report,
    read_usage,
)
from cloud.errors import Invalid
from tests.core.refusals import field_refused, is_taken
from tests.core.strategies import nested, plain_data

FULL = {
    "time": "2026-11-23T12:00:00Z",
    "core": {"binVersion": "1"},
    "node": {"hostname": "h", "arch": "amd64"},
    "nodestats": {"usage": {"cpu": "0.25"}, "capacity": {"cpu": "2"}},
    "apps": [{"name": "web", "version": "12"}, {"name": "store", "version": "3", "more": True}],
    "sysapps": [{"name": "core", "version": "1"}],
    "appstats": [
        {"name": "web", "version": "12", "status": "Running", "cause": None, "instances": None}
    ],
    "sysappstats": [],
    "of another version of the protocol": [1, 2.5, None],
}


def read(content: Any) -> Report:
    return read_report(content, Order())


def test_what_is_compared_is_read_and_all_of_it_is_kept() -> None:
    order = Order("run", 7)
    report = read_report(FULL, order)
    assert report.reported == Reported(
        (AppVersion("web", "12"), AppVersion("store", "3")), (AppVersion("core", "1"),)
    )
    assert msgspec.json.decode(report.document) == FULL
    assert report.order == order


@pytest.mark.parametrize("content", [{}, {"apps": None, "sysapps": None}, {"core": {}}])
def test_lists_left_out_are_not_known_yet(content: Any) -> None:
    assert read(content).reported == Reported(None, None)


def test_empty_lists_are_known_to_be_empty() -> None:
    assert read({"apps": [], "sysapps": []}).reported == Reported((), ())


def test_an_app_named_twice_at_one_version_counts_once() -> None:
    web = {"name": "web", "version": "1"}
    assert read({"apps": [web, web]}).reported.apps == (AppVersion("web", "1"),)


def test_an_app_at_two_versions_is_two() -> None:
    apps = [{"name": "web", "version": "1"}, {"name": "web", "version": "2"}]
    assert read({"apps": apps}).reported.apps == (AppVersion("web", "1"), AppVersion("web", "2"))


@pytest.mark.parametrize(
    ("content", "field"),
    [
        (None, "content"),
        ([], "content"),
        ("{}", "content"),
        ({"apps": {}}, "content.apps"),
        ({"apps": [1]}, "content.apps[0]"),
        ({"apps": [{"name": "a"}]}, "content.apps[0].version"),
        ({"apps": [{"name": "a", "version": 1}]}, "content.apps[0].version"),
        ({"sysapps": [{"version": "1"}]}, "content.sysapps[0].name"),
        ({"appstats": [{"name": "a", "version": "1", "status": 1}]}, "content.appstats[0].status"),
        ({"appstats": [{"name": "a", "version": "1", "instances": []}]},
         "content.appstats[0].instances"),
        ({"sysappstats": [{}]}, "content.sysappstats[0].name"),
        ({"node": []}, "content.node"),
        ({"node": {1: "x"}}, "content.node"),
        ({"nodestats": "x"}, "content.nodestats"),
        ({"core": 1}, "content.core"),
        ({1: 2}, "content"),
    ],
)  # fmt: skip
def test_the_field_that_is_wrong_is_named(content: Any, field: str) -> None:
    assert field_refused(read, content) == field


@pytest.mark.parametrize(
    "value",
    [10**5000, "\ud800", {"\ud800": 1}, object(), {None: 1}, nested(10_000), {"a": nested(10_000)}],
    ids=["huge", "surrogate", "surrogate key", "object", "null key", "deep", "deep in a map"],
)
@pytest.mark.parametrize("where", ["x", "node", "nodestats"])
def test_what_could_not_be_kept_is_refused(value: Any, where: str) -> None:
    assert field_refused(read, {where: {"a": value}}).startswith("content")
    assert field_refused(read_usage, {"nodestats": {where: value}}).startswith("content")


def test_a_report_is_no_deeper_than_readers_can_follow() -> None:
    assert is_taken(read, {"x": nested(DEPTH_LIMIT - 1)})
    assert field_refused(read, {"x": nested(DEPTH_LIMIT)}) == "content"
    assert is_taken(read_usage, {"nodestats": {"x": nested(DEPTH_LIMIT - 2)}})
    assert field_refused(read_usage, {"nodestats": {"x": nested(DEPTH_LIMIT - 1)}}) == "content"


@given(
    st.dictionaries(
        st.sampled_from(["apps", "sysapps", "appstats", "node", "nodestats", "x"]), plain_data
    )
)
def test_any_content_is_kept_as_json_or_refused(content: dict[str, Any]) -> None:
    for call in (read, read_usage):
        if is_taken(call, content):
            kept = call(content)
            msgspec.json.decode(kept.document if isinstance(kept, Report) else kept)


@given(plain_data)
def test_any_plain_data_is_a_report_or_refused(content: Any) -> None:
    is_taken(read, content)
    is_taken(read_usage, content)


def test_of_stats_only_the_usage_is_kept() -> None:
    stats = {"usage": {"cpu": "0.31"}}
    kept = read_usage({"nodestats": stats, "of another version": 1})
    assert msgspec.json.decode(kept) == {"nodestats": stats}


@pytest.mark.parametrize(
    ("content", "field"),
    [
        ([], "content"),
        ({}, "content.nodestats"),
        ({"nodestats": None}, "content.nodestats"),
        ({"nodestats": []}, "content.nodestats"),
    ],
)
def test_stats_without_usage_are_refused(content: Any, field: str) -> None:
    assert field_refused(read_usage, content) == field


runs = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=RUN_LIMIT)


@given(st.integers(0, 2**63 - 1), runs)
def test_an_order_is_read_from_numbers_and_from_their_digits(sequence: int, run: str) -> None:
    order = Order(run, sequence)
    assert read_order({"run": run, "seq": sequence}) == order
    assert read_order({"run": run, "seq": str(sequence)}) == order


def test_an_order_may_be_left_out() -> None:
    assert read_order({}) == Order("", None)


@pytest.mark.parametrize(
    ("meta", "field"),
    [
        ({"seq": -1}, "meta.seq"),
        ({"seq": 2**63}, "meta.seq"),
        ({"seq": str(2**63)}, "meta.seq"),
        ({"seq": ""}, "meta.seq"),
        ({"seq": "+1"}, "meta.seq"),
        ({"seq": " 1"}, "meta.seq"),
        ({"seq": "1.0"}, "meta.seq"),
        ({"seq": "\u0663"}, "meta.seq"),
        ({"seq": "1" * 5000}, "meta.seq"),
        ({"run": 1}, "meta.run"),
        ({"run": "x" * (RUN_LIMIT + 1)}, "meta.run"),
        ({"run": "a\0b"}, "meta.run"),
    ],
)
def test_an_order_that_cannot_be_read_is_refused(meta: dict[str, Any], field: str) -> None:
    assert field_refused(read_order, meta) == field


orders = st.builds(Order, st.sampled_from(["", "a"]), st.none() | st.integers(0, 3))


@given(orders, orders)
def test_of_two_reports_at_most_one_is_older(one: Order, other: Order) -> None:
    assert not (one.is_older_than(other) and other.is_older_than(one))
    assert not one.is_older_than(one)
    if one.is_older_than(other):
        assert one.run == other.run


def test_a_report_is_older_only_within_its_run() -> None:
    assert Order("a", 1).is_older_than(Order("a", 2))
    assert not Order("a", 1).is_older_than(Order("b", 2))
    assert not Order("a", None).is_older_than(Order("a", 2))
    assert not Order("a", 1).is_older_than(Order("a", None))


def test_a_report_may_name_its_interval() -> None:
    assert read_interval({}) is None
    assert read_interval({"interval": 3600}) == timedelta(hours=1)
    for bad in (0, -1, 86_401, "20", ""):
        with pytest.raises(Invalid) as caught:
            read_interval({"interval": bad})
        assert caught.value.field == "meta.interval"


def test_reading_does_not_change_what_was_read() -> None:
    content = {"apps": [{"name": "a", "version": "1"}]}
    read(content)
    assert content == {"apps": [{"name": "a", "version": "1"}]}


def test_a_refusal_does_not_contain_the_report() -> None:
    with pytest.raises(Invalid) as caught:
        read({"apps": [{"name": "x" * 100_000, "version": 1}]})
    assert len(str(caught.value)) < 200


def test_stats_of_an_app_that_could_not_be_begun_may_lack_its_version() -> None:
    read({"appstats": [{"name": "web", "cause": "failed to sync resource"}]})
