"""Build and take apart every topic; the only place where topic strings are written.

A topic is `edge/v1/{node id}/{channel}`, the node id being the common name of the node's
certificate, `{namespace}.{name}` (docs/protocol.md, "Topics").

>>> topic_for("default.gate-7", Channel.REPORT)
'edge/v1/default.gate-7/report'
>>> parse_topic("edge/v1/default.gate-7/desire-response")
('default.gate-7', <Channel.DESIRE_RESPONSE: 'desire-response'>)
"""

from enum import StrEnum
from functools import lru_cache

from broker.errors import MalformedTopic

PREFIX = "edge/v1"

TOPICS_KEPT = 16_384
"""Topics whose parts are remembered, and as many the other way: all messages of a fleet repeat the
same few of each node. About 6 MB."""


class Channel(StrEnum):
    """The last level of a topic: type and direction of a message."""

    REPORT = "report"
    STATS = "stats"
    DESIRE = "desire"
    RENEW = "renew"
    COMMAND_RESPONSE = "command-response"
    DELTA = "delta"
    DESIRE_RESPONSE = "desire-response"
    RENEW_RESPONSE = "renew-response"
    COMMAND = "command"


SHARE = "edgesync"
"""Name under which servers share the messages of nodes (MQTT 5.0, 4.8.2)."""

FROM_NODE = frozenset(
    {Channel.REPORT, Channel.STATS, Channel.DESIRE, Channel.RENEW, Channel.COMMAND_RESPONSE}
)
TO_NODE = frozenset(
    {Channel.DELTA, Channel.DESIRE_RESPONSE, Channel.RENEW_RESPONSE, Channel.COMMAND}
)

_RESERVED = frozenset("/+#$\0")
_CHANNELS = frozenset(channel.value for channel in Channel)


def is_node_id_level(text: str) -> bool:
    """Return whether *text* can be the node id level: not empty, no wildcard, no separator."""
    return bool(text) and _RESERVED.isdisjoint(text)


@lru_cache(maxsize=TOPICS_KEPT)
def topic_for(node_id: str, channel: Channel) -> str:
    """Topic on which *node_id* and the server talk about *channel*; MalformedTopic on a bad id."""
    if not is_node_id_level(node_id):
        raise MalformedTopic(node_id)
    return f"{PREFIX}/{node_id}/{channel.value}"


def shared_filter(channel: Channel) -> str:
    """Filter by which servers share the messages of all nodes on *channel*.

    >>> shared_filter(Channel.REPORT)
    '$share/edgesync/edge/v1/+/report'
    """
    return f"$share/{SHARE}/{PREFIX}/+/{channel.value}"


@lru_cache(maxsize=TOPICS_KEPT)
def parse_topic(topic: str) -> tuple[str, Channel]:
    """Node id and channel of *topic*; the inverse of `topic_for`; MalformedTopic for any other."""
    levels = topic.split("/")
    if len(levels) != 4 or topic[: len(PREFIX) + 1] != f"{PREFIX}/":
        raise MalformedTopic(topic)
    node_id, channel = levels[2], levels[3]
    if not is_node_id_level(node_id) or channel not in _CHANNELS:
        raise MalformedTopic(topic)
    return node_id, Channel(channel)
