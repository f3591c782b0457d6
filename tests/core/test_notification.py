"""The content of a notification, and its form for each type of channel."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from cloud.core.channel import ChannelSpec, ChannelType, checked_channel_spec
from cloud.core.event import FAILED, LOST, REFUSED
from cloud.core.notification import (
    Notification,
    notification_of,
    plain_text,
    sample_notification,
    slack_content,
    subject_of,
    teams_content,
    webhook_content,
)
from cloud.core.notification_groups import Summary
from cloud.core.notification_rule import (
    NotificationRule,
    NotificationRuleSpec,
    Severity,
    Threshold,
    checked_rule_spec,
)
from tests.core.refusals import field_refused
from tests.core.strategies import START

URL = "https://edgesync.example.com"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
RULE_SPEC = NotificationRuleSpec(("mail",), ("node.*",), severity=Severity.CRITICAL)
RULE = NotificationRule("default", "fails", RULE_SPEC, "1", START, START)
MAIL: dict[str, Any] = {
    "type": "email",
    "smtpHost": "smtp.example.com",
    "from": "edgesync@example.com",
    "to": ["ops@example.com"],
}


def message(nodes: int, event_type: str = FAILED, cause: str = "web: image not found",
            **changes: Any) -> Notification:  # fmt: skip
    names = [f"shop-{number:03}" for number in range(nodes)]
    fields = {
        "type": event_type,
        "cause": cause,
        "count": nodes,
        "names": names,
        "has_more_names": False,
        "first": START,
        "last": START + timedelta(seconds=8),
        "text": f"{names[-1]} failed: {cause}",
        "is_digest": False,
    }
    return notification_of(RULE, Summary(**{**fields, **changes}))


def test_one_node_is_named_with_its_cause_and_its_page() -> None:
    assert plain_text(message(1), URL) == (
        "shop-000 failed: web: image not found\n"
        "Events: 1, 2026-01-02T03:04:05Z to 2026-01-02T03:04:13Z\n"
        "Rule: fails, namespace default\n"
        "\n"
        f"{URL}/#/nodes/shop-000\n"
    )
    assert subject_of(message(1)) == "critical: shop-000 failed: web: image not found"


def test_many_nodes_are_counted_and_some_of_them_named() -> None:
    many = message(212)
    assert subject_of(many) == "critical: 212 nodes failed: web: image not found"
    text = plain_text(many, URL + "/")
    assert "Nodes: shop-000, shop-001," in text
    assert "shop-009 and 202 more\n" in text
    assert text.endswith(f"{URL}/#/nodes?deploy=failed\n")
    assert "more than 212 nodes" in subject_of(message(212, has_more_names=True))
    assert "3 since the last message" in plain_text(message(3, is_digest=True), URL)


def test_events_of_other_kinds_are_described_too() -> None:
    lost = message(2, LOST, "", text="nothing was heard of shop-001")
    assert subject_of(lost) == "critical: 2 nodes do not report any more"
    refused = message(2, REFUSED, "shops: QuotaReached", text="a device was refused")
    assert subject_of(refused) == "critical: 2 devices were refused: shops: QuotaReached"
    changed = message(2, "app.updated", "", text="app web was updated")
    assert subject_of(changed) == "critical: 2 times app.updated, the last: app web was updated"
    assert changed.place == "/events"


def test_the_text_of_a_device_is_no_markup() -> None:
    evil = message(1, text="<!channel> *n* [x](http://evil) & \r\nBcc: a@example.com")
    assert "\n" not in subject_of(evil)
    slack = slack_content(evil, URL)["text"]
    assert "<!channel>" not in slack
    assert "&lt;!channel&gt;" in slack
    assert f"<{URL}/#/nodes/shop-000|Open the dashboard>" in slack
    card = teams_content(evil, URL)["attachments"][0]["content"]
    assert "[x](" not in msgspec.json.encode(card).decode()
    assert card["actions"][0]["url"] == f"{URL}/#/nodes/shop-000"
    assert (card["type"], card["version"]) == ("AdaptiveCard", "1.4")


def test_a_webhook_gets_all_fields() -> None:
    content = webhook_content(message(212), URL)
    assert (content["severity"], content["nodeCount"], content["type"]) == (
        "critical",
        212,
        "node.failed",
    )
    assert content["url"] == f"{URL}/#/nodes?deploy=failed"
    assert len(content["nodes"]) == 10


def test_a_test_is_recognised_as_one() -> None:
    sample = sample_notification("default", "mail", now=START)
    assert subject_of(sample) == "info: test of the channel mail"
    assert plain_text(sample, URL).endswith(f"{URL}/#/channels/mail\n")


def channel(**changes: Any) -> ChannelSpec:
    return msgspec.convert({**MAIL, **changes}, ChannelSpec)


def test_what_a_channel_may_be() -> None:
    spec = checked_channel_spec(channel(username="u", password="p"))
    assert spec.target == "ops@example.com by smtp.example.com:587"
    hook = ChannelSpec(ChannelType.SLACK, url="https://hooks.slack.com/services/T0/B0/secret")
    assert checked_channel_spec(hook).target == "hooks.slack.com"
    assert "secret" not in repr(hook)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"smtpHost": ""}, "smtpHost"),
        ({"smtpPort": 0}, "smtpPort"),
        ({"username": "u"}, "username"),
        ({"username": "u", "password": "p", "smtpSecurity": "none"}, "smtpSecurity"),
        ({"from": "edgesync"}, "from"),
        ({"to": []}, "to"),
        ({"to": ["a@example.com", "a@b\r\nBcc: c@example.com"]}, "to[1]"),
        ({"to": ["a@example.com"] * 21}, "to"),
        ({"url": "https://example.com"}, "url"),
        ({"type": "slack", "url": "https://example.com"}, "smtpHost"),
    ],
)
def test_what_a_channel_may_not_be(changes: dict[str, Any], field: str) -> None:
    assert field_refused(checked_channel_spec, channel(**changes)) == field


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        (ChannelSpec(ChannelType.TEAMS), "url"),
        (ChannelSpec(ChannelType.TEAMS, url="ftp://example.com"), "url"),
        (ChannelSpec(ChannelType.SLACK, url="https://example.com", secret=SECRET), "secret"),
        (ChannelSpec(ChannelType.WEBHOOK, url="https://example.com", secret="weak"), "secret"),
        (
            ChannelSpec(ChannelType.TEAMS, url="https://example.com", description="x" * 5000),
            "description",
        ),
    ],
)
def test_what_a_channel_by_url_may_not_be(spec: ChannelSpec, field: str) -> None:
    assert field_refused(checked_channel_spec, spec) == field


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"channels": ()}, "channels"),
        ({"channels": ("a",) * 2}, "channels[1]"),
        ({"channels": ("Not a name",)}, "channels[0]"),
        ({"events": ()}, "events"),
        ({"events": ("node.exploded",)}, "events"),
        ({"selector": "a in ("}, "selector"),
        ({"threshold": Threshold(0)}, "threshold.count"),
        ({"threshold": Threshold(1, minutes=0)}, "threshold.minutes"),
        ({"gather_seconds": 601}, "gatherSeconds"),
        ({"quiet_minutes": 0}, "quietMinutes"),
    ],
)
def test_what_a_rule_may_not_be(changes: dict[str, Any], field: str) -> None:
    assert checked_rule_spec(RULE_SPEC) == RULE_SPEC
    spec = msgspec.structs.replace(RULE_SPEC, **changes)
    assert field_refused(checked_rule_spec, spec) == field
