"""docs/notifications.md: its manifests are valid, and its message is the one that is sent."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from cloud.core.channel import ChannelSpec, ChannelType, checked_channel_spec
from cloud.core.event import FAILED
from cloud.core.notification import notification_of, plain_text, subject_of, webhook_content
from cloud.core.notification_groups import Summary
from cloud.core.notification_rule import (
    NotificationRule,
    NotificationRuleSpec,
    checked_rule_spec,
)
from cloud.core.sending import new_secret
from cloud.http.yaml_text import decode_yaml
from tests.repo.tracked import ROOT, text_of

PAGE = text_of(ROOT / "docs/notifications.md")
START = datetime(2026, 7, 1, 12, tzinfo=UTC)


def documents() -> list[dict[str, Any]]:
    blocks = re.findall(r"```yaml\n(.*?)```", PAGE, flags=re.S)
    return [decode_yaml(text.encode()) for block in blocks for text in block.split("---\n")]


def block_after(words: str, kind: str = "") -> str:
    _, _, rest = PAGE.partition(words)
    found = re.search(rf"```{kind}\n(.*?)```", rest, flags=re.S)
    assert found is not None
    return found[1]


def test_each_manifest_is_valid_and_each_channel_that_a_rule_names_is_there() -> None:
    channels, named = set(), set()
    for document in documents():
        kind, name = document.pop("kind"), document.pop("name")
        if kind == "Channel":
            spec = msgspec.convert(document, ChannelSpec)
            if spec.type is ChannelType.WEBHOOK:
                spec = msgspec.structs.replace(spec, secret=new_secret("made by the server"))
            checked_channel_spec(spec)
            channels.add(name)
        else:
            rule = msgspec.convert(document, NotificationRuleSpec)
            named |= set(checked_rule_spec(rule).channels)
    assert len(channels) == 4
    assert named <= channels


def test_the_message_is_the_one_that_is_sent() -> None:
    (document,) = [each for each in documents() if each["name"] == "failed-gateways"]
    spec = {key: value for key, value in document.items() if key not in {"kind", "name"}}
    rule = NotificationRule(
        "default",
        "failed-gateways",
        msgspec.convert(spec, NotificationRuleSpec),
        "1",
        START,
        START,
    )
    cause = "web: image nginx:9 not found"
    names = [f"shop-{number:03}" for number in range(212)]
    text = f"{names[-1]} failed: {cause}"
    end = START + timedelta(seconds=8)
    message = notification_of(
        rule,
        Summary(
            FAILED,
            cause,
            212,
            names,
            has_more_names=False,
            first=START,
            last=end,
            text=text,
            is_digest=False,
        ),
    )
    url = "https://edgesync.example.com"
    shown = block_after("one message arrives:")
    assert shown == f"Subject: [edgesync] {subject_of(message)}\n\n{plain_text(message, url)}"
    content = webhook_content(message, url)
    example = msgspec.json.decode(block_after("A webhook gets this body", "json"))
    assert set(example) == set(content)
    same = {"text": "...", "nodes": ["shop-000", "..."]}
    assert example == msgspec.to_builtins({**content, **same})
