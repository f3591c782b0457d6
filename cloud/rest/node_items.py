"""The items of lists of nodes, encoded once."""

from datetime import datetime
from typing import NamedTuple

import msgspec

from cloud.answers.nodes import NodeItem
from cloud.core.encryption_key import SealingPolicy
from cloud.core.node import SeenNode
from cloud.core.readiness import next_change
from cloud.rest.node_state import node_answer

_LIMIT = 4096
"""Items that are kept."""

_LONGEST = 2048
"""Bytes of an item that is kept; most have 400."""


class _Known(NamedTuple):
    """The text of an item, and what it is of; valid from *since* on, and before *until*."""

    seen: SeenNode
    connected: bool | None
    since: datetime
    until: datetime | None
    text: msgspec.Raw


class NodeItems:
    """Owns the encoded items of nodes; each is valid until its node is seen or stands otherwise.

    To make the item of a node takes five times as long as to find it here.
    """

    def __init__(self, sealing: SealingPolicy) -> None:
        self._sealing = sealing
        self._known: dict[tuple[str, str], _Known] = {}

    def item(self, seen: SeenNode, now: datetime, *, connected: bool | None) -> msgspec.Raw:
        """The JSON text of the node in a list."""
        place = seen.node.namespace, seen.node.name
        known = self._known.get(place)
        if (
            known is not None
            and known.seen is seen
            and known.connected is connected
            and known.since <= now
            and (known.until is None or now < known.until)
        ):
            return known.text
        answer = node_answer(seen, now, self._sealing, connected=connected)
        text = msgspec.Raw(msgspec.json.encode(NodeItem(**msgspec.structs.asdict(answer))))
        if len(bytes(text)) <= _LONGEST:
            until = next_change(seen.heard, now, is_revoked=seen.is_revoked)
            if len(self._known) >= _LIMIT:
                self._known.clear()
            self._known[place] = _Known(seen, connected, now, until, text)
        return text
