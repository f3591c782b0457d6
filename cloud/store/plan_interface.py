"""What a transaction promises to who wants to know whom a change reaches."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from cloud.core.guard import Guard
from cloud.core.plan import Reach
from cloud.core.selectors import Selector


class PlanTransaction(Protocol):
    """The list of nodes to be told, put aside and looked at within one transaction; and guards."""

    def set_stale_aside(self, namespace: str) -> Sequence[str]:
        """Take all nodes of the namespace off the list, to see who is put there from now on."""
        ...

    def put_stale_back(self, namespace: str, names: Sequence[str]) -> None:
        """Put those that were set aside on the list again; who is there, or gone, stays so."""
        ...

    def stale_reach(self, namespace: str, *, now: datetime, names: int) -> Reach:
        """Who of the namespace is on the list, up to *names* of them by name."""
        ...

    def count_matching(self, namespace: str, selector: Selector) -> int:
        """How many nodes an app with *selector* is for; without terms: none."""
        ...

    def guard(self, namespace: str) -> Guard | None:
        """None where nobody said anything."""
        ...

    def put_guard(self, guard: Guard) -> None:
        """In place of the one that was there."""
        ...
