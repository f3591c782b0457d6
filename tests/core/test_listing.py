"""Lists: which fields select, and how a selector of them is read."""

import re
from datetime import UTC, datetime, timedelta

import pytest

from cloud.core.field_selectors import (
    NODE_FIELDS,
    FieldTerm,
    parse_field_selector,
    time_of,
)
from cloud.core.selectors import Operator
from cloud.errors import Invalid

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def test_a_field_selector_is_read_term_by_term() -> None:
    text = "metadata.name==x, metadata.namespace = default,metadata.name!= y"
    assert parse_field_selector(text) == (
        FieldTerm("metadata.name", Operator.IN, ("x",)),
        FieldTerm("metadata.namespace", Operator.IN, ("default",)),
        FieldTerm("metadata.name", Operator.NOT_IN, ("y",)),
    )
    assert parse_field_selector(" ") == ()


def test_fields_of_nodes_name_apps_and_times() -> None:
    text = (
        "status.state in (online, stale),status.apps.my.app!=failed,status.versions.web=7,"
        "status.certificate.expires<30d"
    )
    assert parse_field_selector(text, NODE_FIELDS) == (
        FieldTerm("status.state", Operator.IN, ("online", "stale")),
        FieldTerm("status.apps.", Operator.NOT_IN, ("failed",), "my.app"),
        FieldTerm("status.versions.", Operator.IN, ("7",), "web"),
        FieldTerm("status.certificate.expires", Operator.LESS, ("30d",)),
    )


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("status.sate=online", "did you mean status.state?"),
        ("status.state=ofline", "did you mean offline?"),
        ("status.deploy=rolledback", "did you mean rolledBack?"),
        ("metadata.nam=x", "did you mean metadata.name?"),
        ("status.certificate.expires=30d", "compared with < and >"),
        ("status.state<online", "compared with =, !=, in and notin"),
        ("status.apps.=failed", "unknown field"),
        ("metadata.name=a[b", "any text"),
    ],
)
def test_a_wrong_field_is_refused_with_the_nearest(text: str, hint: str) -> None:
    with pytest.raises(Invalid, match=re.escape(hint)):
        parse_field_selector(text, NODE_FIELDS)


def test_a_time_is_of_a_clock_or_from_now() -> None:
    assert time_of("30d", NOW) == NOW + timedelta(days=30)
    assert time_of("2026-01-02T00:00:00Z", NOW) == NOW
    for text in ("soon", "2026-01-02T00:00:00", "999999d9", "999999d"):
        with pytest.raises(Invalid) as caught:
            time_of(text, datetime(9999, 1, 1, tzinfo=UTC))
        assert caught.value.field == "fieldSelector"


@pytest.mark.parametrize("text", ["spec.x=1", "metadata.name", ",", "metadata.name=" + "a" * 4096])
def test_what_cannot_be_read_is_refused_by_name(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_field_selector(text)
    assert caught.value.field == "fieldSelector"
