"""The transaction: every verb of the store, each in the part of its noun; and what runs one.

Work is a plain function of a `Transaction`: it touches nothing else, and may be run twice.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol, TypeVar

from cloud.core.app import App
from cloud.core.audit import Chain
from cloud.core.config import Config
from cloud.core.node import Node
from cloud.store.cache import StoreCache
from cloud.store.outcomes import WriteOutcomes
from cloud.store.parts.admin_access import AdminAccessPart
from cloud.store.parts.api_tokens import ApiTokenPart
from cloud.store.parts.audit import AuditPart
from cloud.store.parts.batches import BatchPart
from cloud.store.parts.callbacks import CallbackPart
from cloud.store.parts.certificates import CertificatePart
from cloud.store.parts.commands import CommandPart
from cloud.store.parts.deliveries import DeliveryPart
from cloud.store.parts.deploys import DeployPart
from cloud.store.parts.device_logins import DeviceLoginPart
from cloud.store.parts.encryption_keys import EncryptionKeyPart
from cloud.store.parts.events import EventPart
from cloud.store.parts.guards import GuardPart
from cloud.store.parts.install_tokens import InstallTokenPart
from cloud.store.parts.labels import ALL_LABELLED, UNLABELLED
from cloud.store.parts.local_users import LocalUserPart
from cloud.store.parts.namespaces import NamespacePart
from cloud.store.parts.node_figures import NodeFiguresPart
from cloud.store.parts.node_status import NodeStatusPart
from cloud.store.parts.nodes import NodePart
from cloud.store.parts.notification_groups import NotificationGroupPart
from cloud.store.parts.part import NOTHING, Run
from cloud.store.parts.pending_nodes import PendingPart
from cloud.store.parts.probe import ProbePart
from cloud.store.parts.readiness import ReadinessPart
from cloud.store.parts.refused_devices import RefusedDevicePart
from cloud.store.parts.reports import ReportPart
from cloud.store.parts.revisions import RevisionPart
from cloud.store.parts.rollouts import RolloutPart
from cloud.store.parts.running_apps import RunningAppPart
from cloud.store.parts.secret_sources import SecretSourcePart
from cloud.store.parts.servers import ServerPart
from cloud.store.parts.sessions import SessionPart
from cloud.store.parts.trends import TrendPart
from cloud.store.parts.usage import UsagePart
from cloud.store.parts.user_sessions import UserSessionPart
from cloud.store.sealing import Sealer

T = TypeVar("T")


class Transaction(
    NodePart,
    NodeStatusPart,
    RolloutPart,
    NodeFiguresPart,
    NamespacePart,
    RevisionPart,
    BatchPart,
    RefusedDevicePart,
    CallbackPart,
    DeliveryPart,
    NotificationGroupPart,
    CertificatePart,
    EncryptionKeyPart,
    InstallTokenPart,
    ApiTokenPart,
    AdminAccessPart,
    ReportPart,
    PendingPart,
    GuardPart,
    AuditPart,
    DeployPart,
    SecretSourcePart,
    ServerPart,
    EventPart,
    ReadinessPart,
    RunningAppPart,
    UsagePart,
    TrendPart,
    CommandPart,
    ProbePart,
    SessionPart,
    UserSessionPart,
    LocalUserPart,
    DeviceLoginPart,
):
    """All reads see one moment; all writes happen together or not at all.

    Everything read is a value; changing it means putting another one. Times are aware UTC, kept to
    the microsecond. A `put` inserts or replaces; a `delete` returns whether something was there.
    Plain lists are oldest first, then by name; a `list_` method returns the page that its options
    ask for, and nothing is loaded that is not on it. What is sealed raises Unavailable where it
    cannot be unsealed with this server's key.
    """

    def __init__(self, run: Run, sealer: Sealer, cache: StoreCache, chain: Chain) -> None:
        super().__init__(run, sealer, cache)
        self._chain = chain
        # Called on the event loop when all is written and the commit begins.
        self.on_commit: Callable[[], None] | None = None

    def label_all(self) -> None:
        """Fill in the labels, and the uses, of what an older version of the server has put."""
        find: Mapping[str, Callable[[str, str], Node | App | Config | None]] = {
            "node": self.node,
            "app": self.app,
            "config": self.config,
        }
        for kind, namespace, name in self._run(UNLABELLED, NOTHING):
            noun = find[kind](namespace, name)
            if noun is not None:
                labels = noun.labels if isinstance(noun, Node) else noun.spec.labels
                self._label(kind, noun, labels)
            if isinstance(noun, App):
                self._put_uses(noun)
        self._run(ALL_LABELLED, NOTHING)


class Store(Protocol):
    """Runs work off the event loop, each piece in a transaction of its own; two databases do.

    Commits when the work returns, rolls back when it raises; what was returned is durable.
    Cancelling the wait does not undo the work: afterwards it is unknown whether it was done.
    """

    def write(self, work: Callable[[Transaction], T]) -> Awaitable[T]:
        """Run *work* with the right to change things; one at a time."""
        ...

    def write_concurrent(self, work: Callable[[Transaction], T]) -> Awaitable[T]:
        """As `write`, for work that relies on nothing but the rows that it changes itself.

        So do reports of nodes. On PostgreSQL it runs concurrently with other writes, and again
        where another one has changed the same rows.
        """
        ...

    def read(self, work: Callable[[Transaction], T]) -> Awaitable[T]:
        """Run *work* with the right to look; others may write meanwhile."""
        ...

    def read_short(self, work: Callable[[Transaction], T]) -> Awaitable[T]:
        """As `read`, for work that looks up a row or two by key, in less time than a thread takes.

        SQLite does it at once, while everything else waits.
        """
        ...


class NotifyingStore(Store, Protocol):
    """A store with notices of commits, its own and those of other servers, and of failures."""

    outcomes: WriteOutcomes
    """The outcome of the transactions that may write."""

    def revision(self) -> int | None:
        """Another number after each change, once that is acknowledged.

        None where other servers change things too.
        """
        ...

    async def wait_for_pending(self) -> None:
        """Return when nodes may have been marked as pending since the last call."""
        ...

    async def wait_for_events(self) -> None:
        """Return when events may have been recorded here, or numbered elsewhere, since then.

        A notice of another server may be lost: look from time to time without one.
        """
        ...

    async def wait_for_rollouts(self) -> None:
        """Return when rollouts or assignments may have changed here since then."""
        ...
