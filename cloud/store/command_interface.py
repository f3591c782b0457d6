"""What a transaction can do with commands to nodes; a part of `interface.Transaction`."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from cloud.core.commands import Answer, Command


class CommandTransaction(Protocol):
    """Commands, each with its id; what a node put out is sealed."""

    def add_command(self, command: Command) -> None:
        """Keep a command that waits; NotFound if there is no such node."""
        ...

    def command(self, namespace: str, name: str, command_id: str) -> Command | None:
        """A command to that node, with its output.

        Unavailable if it cannot be unsealed with this server's key.
        """
        ...

    def commands(self, namespace: str, name: str) -> Sequence[Command]:
        """All to that node that are kept, the newest first, without their output."""
        ...

    def count_open_commands(self, namespace: str, name: str, now: datetime) -> int:
        """How many wait for their end."""
        ...

    def nodes_to_command(self, now: datetime, limit: int) -> Sequence[tuple[str, str]]:
        """Nodes (namespace, name) that a command waits for, each once."""
        ...

    def claim_commands(self, namespace: str, name: str, now: datetime) -> Sequence[Command]:
        """Note all that wait for the node as sent, oldest first: no two callers get one."""
        ...

    def give_back_command(self, command_id: str) -> None:
        """Undo `claim_commands` for one that was not sent."""
        ...

    def end_command(
        self, namespace: str, name: str, command_id: str, answer: Answer, now: datetime
    ) -> bool:
        """Keep what the node answers; False, and nothing changes, if that is not waited for.

        The command stays open where the answer is one of its parts; a part counts once.
        """
        ...

    def encoding_of_node(self, namespace: str, name: str) -> str | None:
        """How the node wrote its last report; None if it never did."""
        ...

    def delete_old_commands(self, namespace: str, name: str, kept: int, now: datetime) -> None:
        """Forget all to the node but the last *kept* and those that are open."""
        ...

    def forget_commands(self, before: datetime) -> int:
        """Forget what had to end before that; how many there were."""
        ...
