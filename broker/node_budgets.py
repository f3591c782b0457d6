"""How fast one node may send: a token bucket for messages and one for bytes."""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

MESSAGES_SECONDS, BYTES_SECONDS = 10, 4
"""The buckets hold what their rates give in this time."""

NODES = 16_384
"""Nodes whose buckets are kept; beyond that the least recently used is full again."""


@dataclass(slots=True)
class _Buckets:
    """Tokens that are left, below 0 after a message that was larger than what was left."""

    messages: float
    bytes: float
    since: float


class NodeBudgets:
    """At most *messages* and *bytes_* a second of each node, on average; 0: without a limit.

    A message is accepted, then charged: `wait` returns the time until the next is accepted.
    *timer* counts seconds and does not go back.
    """

    def __init__(
        self, messages: int, bytes_: int, *, timer: Callable[[], float] = time.monotonic
    ) -> None:
        self._messages = float(messages)
        self._bytes = float(bytes_)
        self._timer = timer
        self._buckets: OrderedDict[str, _Buckets] = OrderedDict()

    def take(self, node_id: str, size: int) -> float:
        """Charge a message of *size* bytes if it may be taken: 0; else the seconds until then."""
        if not self._messages and not self._bytes:
            return 0.0
        found = self._filled(node_id)
        wait = self._wait(found)
        if not wait:
            found.messages -= 1
            found.bytes -= size
        return wait

    def charge(self, node_id: str, size: int, *, count: int = 1) -> float:
        """Count *size* bytes, as *count* messages; seconds until more may be taken, 0 for now."""
        if not self._messages and not self._bytes:
            return 0.0
        found = self._filled(node_id)
        found.messages -= count
        found.bytes -= size
        return self._wait(found)

    def wait(self, node_id: str) -> float:
        """Seconds until another message of the node may be taken; 0 for now."""
        if node_id not in self._buckets:
            return 0.0
        return self._wait(self._filled(node_id))

    def _filled(self, node_id: str) -> _Buckets:
        now = self._timer()
        found = self._buckets.get(node_id)
        if found is None:
            most_messages = self._messages * MESSAGES_SECONDS
            found = _Buckets(most_messages, self._bytes * BYTES_SECONDS, now)
            self._buckets[node_id] = found
            if len(self._buckets) > NODES:
                self._buckets.popitem(last=False)
            return found
        self._buckets.move_to_end(node_id)
        passed, found.since = now - found.since, now
        messages, size = self._messages, self._bytes
        found.messages = min(messages * MESSAGES_SECONDS, found.messages + passed * messages)
        found.bytes = min(size * BYTES_SECONDS, found.bytes + passed * size)
        return found

    def _wait(self, found: _Buckets) -> float:
        """A message may be taken as long as there is a whole token for it, and any of bytes."""
        wait = 0.0
        if self._messages and found.messages < 1:
            wait = (1 - found.messages) / self._messages
        if self._bytes and found.bytes < 0:
            wait = max(wait, -found.bytes / self._bytes)
        return wait
