"""The registry of connections: being admitted, or admitted and then one for each node."""

from broker.connection import NodeConnection
from broker.limits import Refusal


class ConnectionRegistry:
    """The connections by node."""

    def __init__(self) -> None:
        self._admitted: dict[str, NodeConnection] = {}
        self._expected: dict[str, set[NodeConnection]] = {}  # proved who they are, gate not asked

    def __len__(self) -> int:
        return len(self._admitted)

    def get(self, node_id: str) -> NodeConnection | None:
        """The admitted connection of a node."""
        return self._admitted.get(node_id)

    def expect(self, node_id: str, connection: NodeConnection) -> None:
        """Let `close` reach *connection* before it is admitted."""
        self._expected.setdefault(node_id, set()).add(connection)

    def forget(self, node_id: str, connection: NodeConnection) -> None:
        """Undo `expect`."""
        expected = self._expected.get(node_id)
        if expected is not None:
            expected.discard(connection)
            if not expected:
                del self._expected[node_id]

    def admit(self, node_id: str, connection: NodeConnection) -> bool:
        """Make *connection* the node's only one; False if a newer one was faster."""
        older = self._admitted.get(node_id)
        if older is not None and older.number > connection.number:
            return False
        self._admitted[node_id] = connection
        if older is not None:
            older.refuse(Refusal.REPLACED)
        return True

    def remove(self, connection: NodeConnection) -> None:
        """Forget an admitted connection, unless another has taken its place."""
        if self._admitted.get(connection.node_id) is connection:
            del self._admitted[connection.node_id]

    def close(self, node_id: str, reason: Refusal) -> None:
        """Close every connection of a node, admitted or about to be."""
        admitted = self._admitted.get(node_id)
        for connection in (*self._expected.get(node_id, ()), *((admitted,) if admitted else ())):
            connection.refuse(reason)
