"""Changes in the audit log: what differs, and never a secret value."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from cloud.core.app import App, AppSpec
from cloud.core.batch import Batch, BatchSpec, Record
from cloud.core.changes import MEMBER_LIMIT, difference
from cloud.core.config import Config, ConfigItem, ConfigSpec, ConfigValue, KeyValue
from cloud.core.core_configuration import DEFAULT_CORE
from cloud.core.mask import MASK
from cloud.core.node import Node, NodeSpec
from cloud.core.objects import FunctionObject, Source, StoredObject
from cloud.core.properties import Properties
from cloud.core.registry import Registry, RegistrySpec
from cloud.core.resource import Noun
from cloud.core.secret import Secret, SecretSpec
from cloud.core.tokens import ApiToken, Role

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

# Long enough that they stand nowhere by chance.
secrets = st.text("abcdefgh", min_size=12, max_size=20)


def nouns_with(secret: str) -> list[Noun]:
    """Things of every kind that has a place for a secret, with one in every such place."""
    stored = StoredObject(
        source=Source.AWSS3, bucket="b", object="o", ak="id", sk=secret, url=f"https://x/?{secret}"
    )
    function = FunctionObject(
        function="f", version="1", runtime="r", handler="h", bucket="b", object="o", sk=secret
    )
    items: dict[str, ConfigValue] = {
        "text": KeyValue(secret),
        "stored": stored,
        "function": function,
    }
    data = tuple(ConfigItem(key, value) for key, value in items.items())
    return [
        Secret("default", "s", SecretSpec({"password": secret}), "1", NOW, NOW),
        Config("default", "c", ConfigSpec(data=data), "1", NOW, NOW),
        Registry("default", "r", RegistrySpec("hub.example.com", "me", secret), "1", NOW, NOW),
        Batch("default", "b", BatchSpec(security_key=secret), NOW, NOW),
        ApiToken("default", "t", secret, Role.ADMIN, NOW),
    ]


@given(secrets, secrets)
def test_no_secret_value_is_ever_shown(one: str, other: str) -> None:
    for before, after in zip(nouns_with(one), nouns_with(other), strict=True):
        for pair in ((None, after), (before, after), (before, None), (before, before)):
            for text in difference(*pair):
                assert one not in text
                assert other not in text


def differing(before: Noun | None, after: Noun | None) -> tuple[Any, Any]:
    was, now = difference(before, after)
    return json.loads(was) if was else None, json.loads(now) if now else None


def secret(data: dict[str, str], version: str = "1") -> Secret:
    return Secret("default", "s", SecretSpec(data), version, NOW, NOW)


def test_a_changed_secret_shows_which_value_changed_and_not_to_what() -> None:
    before = secret({"password": "one", "pin": "7", "old": "x"})
    after = secret({"password": "two", "pin": "7", "new": "y"}, "2")
    assert differing(before, after) == (
        {"data": {"password": MASK, "old": MASK}, "version": "1"},
        {"data": {"password": MASK, "new": MASK}, "version": "2"},
    )


def test_the_same_differs_in_nothing_and_what_is_not_there_is_nothing() -> None:
    one = secret({"password": "one"})
    assert differing(one, one) == ({}, {})
    assert difference(None, None) == ("", "")
    assert differing(None, one)[0] is None
    assert differing(one, None) == (
        {"data": {"password": MASK}, "description": "", "version": "1"},
        None,
    )


def test_an_app_shows_the_members_that_differ() -> None:
    before = App("default", "web", AppSpec(selector="a=b", labels={"x": "1"}), "1", NOW, NOW)
    spec = msgspec.structs.replace(before.spec, labels={"x": "2", "y": "3"})
    after = replace(before, spec=spec, version="2")
    assert differing(before, after) == (
        {"labels": {"x": "1"}, "version": "1"},
        {"labels": {"x": "2", "y": "3"}, "version": "2"},
    )


def test_nodes_and_records_are_shown_as_people_know_them() -> None:
    node = Node(
        "default", "n", NodeSpec({"role": "gateway"}, {"brand": "x"}, "by the door"), NOW, NOW
    )
    assert differing(None, node)[1] == {
        "labels": {"role": "gateway"},
        "annotations": {"brand": "x"},
        "description": "by the door",
        "mode": "cloud",
        "core": msgspec.to_builtins(DEFAULT_CORE),
    }
    wanted, reported = (
        Properties({"a": "1", "b": "2"}),
        Properties({"a": "1", "b": "3"}, {"a": "4"}),
    )
    assert differing(wanted, reported) == ({"desire": {"b": "2"}}, {"desire": {"b": "3"}})
    record = Record("default", "b", "r", "SN-1", "n", NOW, NOW)
    assert differing(record, replace(record, active=True, active_ip="192.0.2.7")) == (
        {"active": 0, "activeIp": ""},
        {"active": 1, "activeIp": "192.0.2.7"},
    )


def test_a_large_member_is_only_measured() -> None:
    text = "x" * MEMBER_LIMIT
    node = Node("default", "n", NodeSpec({}, {"a": text}, "d"), NOW, NOW)
    shown = differing(None, node)[1]
    assert shown["description"] == "d"
    assert shown["annotations"]["bytes"] == len(text) + len('{"a":""}')
    assert len(shown["annotations"]["sha256"]) == 64
    assert len(difference(None, node)[1]) < MEMBER_LIMIT
