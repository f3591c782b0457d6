"""A notification: its content in plain words, and its form for each type of channel."""

import html
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode

import msgspec

from cloud.core import event as types
from cloud.core.notification_groups import Summary
from cloud.core.notification_rule import NotificationRule, Severity
from cloud.core.times import time_text

NAMES_SHOWN = 10
"""Names that a message has, at most."""

TITLE_LIMIT = 200
TEXT_LIMIT = 1000
"""Characters of a title, and of the text of an event in a message."""

_MANY: Mapping[str, str] = {
    types.ACTIVATED: "{n} devices were activated",
    types.READY: "{n} nodes report",
    types.LOST: "{n} nodes do not report any more",
    types.REVOKED: "the certificates of {n} nodes were revoked",
    types.CONVERGED: "{n} nodes are up to date",
    types.FAILED: "{n} nodes failed",
    types.DRIFTED: "instances of apps were gone on {n} nodes",
    types.ENDING: "the certificates of {n} nodes end soon",
    types.REFUSED: "{n} devices were refused",
}
_NODES = frozenset(types.NODE_EVENTS)
_LISTS: Mapping[str, Mapping[str, str]] = {
    types.FAILED: {"deploy": "failed"},
    types.LOST: {"state": "offline"},
}
_COLOURS = {Severity.INFO: "Good", Severity.WARNING: "Warning", Severity.CRITICAL: "Attention"}


class Notification(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """The content of a message, whatever it is sent by.

    *place* leads to a page of the dashboard, behind the `#` of its address. *node_count* is how
    many *nodes*, or devices, it is about, of which some are named.
    """

    title: str
    text: str
    severity: Severity
    namespace: str
    rule: str = ""
    type: str = ""
    cause: str = ""
    count: int = 1
    nodes: tuple[str, ...] = ()
    node_count: int = 0
    first_time: str = ""
    last_time: str = ""
    place: str = "/"
    is_digest: bool = False


def notification_of(rule: NotificationRule, summary: Summary) -> Notification:
    """The message about *summary*, by the *rule*."""
    return Notification(
        title=_title(summary)[:TITLE_LIMIT],
        text=_text(summary)[:TEXT_LIMIT],
        severity=rule.spec.severity,
        namespace=rule.namespace,
        rule=rule.name,
        type=summary.type,
        cause=summary.cause,
        count=summary.count,
        nodes=tuple(summary.names[:NAMES_SHOWN]),
        node_count=len(summary.names),
        first_time=time_text(summary.first),
        last_time=time_text(summary.last),
        place=_place(summary),
        is_digest=summary.is_digest,
    )


def sample_notification(namespace: str, channel: str, *, now: datetime) -> Notification:
    """The message that an operator sends to see whether the *channel* works."""
    return Notification(
        title=f"test of the channel {channel}",
        text="This message was sent on request, to test the channel. Nothing has happened.",
        severity=Severity.INFO,
        namespace=namespace,
        first_time=time_text(now),
        last_time=time_text(now),
        place=f"/channels/{quote(channel, safe='')}",
    )


def link_of(message: Notification, public_url: str) -> str:
    """The address of the page about *message*."""
    return f"{public_url.rstrip('/')}/#{message.place}"


def subject_of(message: Notification) -> str:
    """The title with its severity, on one line."""
    return " ".join(f"{message.severity}: {message.title}".split())


def lines_of(message: Notification) -> Sequence[str]:
    """The lines of the message below its title, without the link."""
    lines = [message.text]
    if message.node_count > 1:
        more = message.node_count - len(message.nodes)
        names = ", ".join(message.nodes) + (f" and {more} more" if more > 0 else "")
        lines.append(f"{'Nodes' if message.type in _NODES else 'Names'}: {names}")
    if message.rule:
        times = message.first_time
        if message.last_time != message.first_time:
            times = f"{message.first_time} to {message.last_time}"
        since = " since the last message" if message.is_digest else ""
        lines.append(f"Events: {message.count}{since}, {times}")
        lines.append(f"Rule: {message.rule}, namespace {message.namespace}")
    return lines


def plain_text(message: Notification, public_url: str) -> str:
    """The body of an e-mail."""
    return "\n".join([*lines_of(message), "", link_of(message, public_url), ""])


def slack_content(message: Notification, public_url: str) -> dict[str, Any]:
    """The body for Slack, Mattermost and others that take incoming webhooks of Slack."""
    escaped = [html.escape(line, quote=False) for line in lines_of(message)]
    title = html.escape(subject_of(message), quote=False).replace("*", "")
    link = f"<{link_of(message, public_url)}|Open the dashboard>"
    return {"text": "\n".join([f"*{title}*", *escaped, link])}


def teams_content(message: Notification, public_url: str) -> dict[str, Any]:
    """The body for a workflow of Microsoft Teams: an Adaptive Card."""
    title = {
        "type": "TextBlock",
        "text": _for_card(subject_of(message)),
        "weight": "Bolder",
        "size": "Medium",
        "color": _COLOURS[message.severity],
        "wrap": True,
    }
    lines = [
        {"type": "TextBlock", "text": _for_card(line), "wrap": True} for line in lines_of(message)
    ]
    url = link_of(message, public_url)
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": [title, *lines],
        "actions": [{"type": "Action.OpenUrl", "title": "Open the dashboard", "url": url}],
    }
    kind = "application/vnd.microsoft.card.adaptive"
    attachment = {"contentType": kind, "contentUrl": None, "content": card}
    return {"type": "message", "attachments": [attachment]}


def webhook_content(message: Notification, public_url: str) -> dict[str, Any]:
    """The body for other programs: all fields, and the link as `url`."""
    fields = {
        field.encode_name: getattr(message, field.name)
        for field in msgspec.structs.fields(message)
        if field.name != "place"
    }
    return {**fields, "url": link_of(message, public_url)}


def _title(summary: Summary) -> str:
    count = len(summary.names)
    if count == 1:
        times = f" ({summary.count} times)" if summary.count > 1 else ""
        return summary.text + times
    number = f"more than {count}" if summary.has_more_names else str(count)
    if summary.type in _MANY:
        cause = f": {summary.cause}" if summary.cause else ""
        return _MANY[summary.type].format(n=number) + cause
    return f"{summary.count} times {summary.type}, the last: {summary.text}"


def _text(summary: Summary) -> str:
    if len(summary.names) == 1:
        return summary.text
    return f"The last: {summary.text}"


def _place(summary: Summary) -> str:
    kind = summary.type.partition(".")[0]
    if summary.type in _NODES or kind == "node":
        if len(summary.names) == 1:
            return f"/nodes/{quote(summary.names[0], safe='')}"
        query = _LISTS.get(summary.type, {})
        return f"/nodes?{urlencode(query)}" if query else "/nodes"
    return "/events"


def _for_card(text: str) -> str:
    """*text* without the Markdown that cards read."""
    return "".join(f"\\{mark}" if mark in "\\*_[]()#`~" else mark for mark in text)
