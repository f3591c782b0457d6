"""Long messages over MQTT, carried out separately from the others.

A report of 1 MB takes as long as hundreds of small ones. Carried out among them it delayed all of
its group, 10 ms for each such report (measured).
"""

from collections import Counter
from collections.abc import Sequence

from broker.fair_queue import FairQueue
from broker.hub import Inbound
from cloud.link.exchange import GROUP, LONG_BYTES


class LongMessages:
    """Messages in turns between nodes, for one task that calls `take`, carries them out, `settle`.

    What a node sends after a long message waits behind it, so its order is kept. Bounded by what
    waits for its acknowledgement in the hub.
    """

    def __init__(self) -> None:
        self._queue = FairQueue()
        self._open: Counter[str] = Counter()  # by node: in the queue, or taken and not settled

    def put(self, message: Inbound) -> bool:
        """Append *message* if it belongs here; return whether it does."""
        if len(message.payload) < LONG_BYTES and message.node_id not in self._open:
            return False
        self._open[message.node_id] += 1
        self._queue.put(message)
        return True

    async def take(self) -> Sequence[Inbound]:
        """Wait for at least one message, and take what may be carried out together."""
        return await self._queue.take_some(GROUP)

    def settle(self, group: Sequence[Inbound]) -> None:
        """Let later messages of the nodes of *group*, which is carried out, go on in groups."""
        for message in group:
            self._open[message.node_id] -= 1
            if not self._open[message.node_id]:
                del self._open[message.node_id]
