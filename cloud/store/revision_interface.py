"""What a transaction promises of revisions."""

from collections.abc import Sequence
from typing import Protocol

from cloud.core.revisions import KeptRevision, RevisedKind, Revision, Spec, Thing


class RevisionTransaction(Protocol):
    """Revisions of things; nothing changes one that was put."""

    def put_revision(self, thing: Thing, revision: Revision, spec: Spec | None) -> None:
        """Keep what the thing is from now on; its number is above all there were."""
        ...

    def count_revisions(self, thing: Thing) -> int:
        """How many are kept."""
        ...

    def revisions(self, thing: Thing, *, below: int, limit: int) -> Sequence[Revision]:
        """Up to *limit* with a number *below* that, newest first."""
        ...

    def revision(self, thing: Thing, number: int) -> KeptRevision | None:
        """Unavailable if it cannot be unsealed with this server's key."""
        ...

    def delete_old_revisions(self, thing: Thing, number: int) -> None:
        """Forget those of the thing up to *number*."""
        ...

    def forget_deleted(self, kind: RevisedKind, namespace: str, kept: int) -> None:
        """Forget all revisions of things that are deleted, but for the last *kept* of them."""
        ...
