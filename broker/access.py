"""Access rules: which identity may use which topic, in one table.

A node publishes on its own topics towards the server and subscribes to its own from it, named
exactly: a wildcard would reach topics this protocol has not defined yet, so none is granted.
"""

from broker.errors import MalformedTopic
from broker.topics import FROM_NODE, TO_NODE, parse_topic


def may_publish(node_id: str, topic: str) -> bool:
    """Return whether the node *node_id* may publish on *topic*."""
    return _is_own(node_id, topic, FROM_NODE)


def may_subscribe(node_id: str, topic_filter: str) -> bool:
    """Return whether the node *node_id* may subscribe to *topic_filter*."""
    return _is_own(node_id, topic_filter, TO_NODE)


def _is_own(node_id: str, topic: str, channels: frozenset[object]) -> bool:
    try:
        owner, channel = parse_topic(topic)
    except MalformedTopic:
        return False
    return owner == node_id and channel in channels
