"""What the rest of the server sees of persistence; no SQL words here.

Work is a plain function of a `Transaction`: it touches nothing else, and may be run twice.
Everything read is a value; changing it means putting another one. Times are aware UTC, kept to the
microsecond. A `put` inserts or replaces; a `delete` says whether something was there.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Protocol, TypeVar, runtime_checkable

from cloud.core.app import App, UseKind
from cloud.core.audit import Anchor, AuditFilter, Entry, Head, Link
from cloud.core.batch import Batch, Record
from cloud.core.callback import Callback, Delivery, Outcome
from cloud.core.certificate import NodeCertificate
from cloud.core.config import Config
from cloud.core.deploys import Deploy
from cloud.core.desired import Catalog
from cloud.core.expiry import CertificateEnd
from cloud.core.installation import InstallToken, TargetKind
from cloud.core.listing import ListOptions, NumberedPage, Page, PageOptions
from cloud.core.node import Node
from cloud.core.properties import Properties
from cloud.core.readiness import Heard, Pace, State
from cloud.core.registry import Registry
from cloud.core.report import Report, Reporter, StoredReport
from cloud.core.revocation import RevocationState
from cloud.core.secret import Secret
from cloud.core.selectors import Selector
from cloud.core.system_apps import SystemApps
from cloud.core.tokens import ApiToken
from cloud.store.command_interface import CommandTransaction
from cloud.store.event_interface import EventVerbs, ReadinessVerbs
from cloud.store.plan_interface import PlanTransaction
from cloud.store.revision_interface import RevisionTransaction
from cloud.store.usage_interface import FleetVerbs, Waiting

T = TypeVar("T")


class Transaction(
    CommandTransaction,
    EventVerbs,
    ReadinessVerbs,
    FleetVerbs,
    RevisionTransaction,
    PlanTransaction,
    Protocol,
):
    """All reads see one moment; all writes happen together or not at all."""

    def next_version(self) -> str:
        """A decimal number higher than any given before, also to things since deleted."""
        ...

    # nodes
    def node(self, namespace: str, name: str) -> Node | None: ...
    def nodes(self, namespace: str) -> Sequence[Node]:
        """All nodes of the namespace, oldest first, then by name; so are all lists here."""
        ...

    def list_nodes(self, namespace: str, options: ListOptions) -> Page[Node]:
        """The page that *options* asks for; so are all lists here.

        Nothing is loaded that is not on it. Invalid for a selector that cannot be read.
        """
        ...

    def put_node(self, node: Node) -> None: ...
    def delete_node(self, namespace: str, name: str) -> bool:
        """Forget the node and its report; its certificates stay on record."""
        ...

    # apps, configs, secrets, registries
    def app(self, namespace: str, name: str) -> App | None: ...
    def apps(self, namespace: str) -> Sequence[App]: ...
    def list_apps(self, namespace: str, options: ListOptions) -> Page[App]: ...
    def list_apps_using(
        self, namespace: str, kind: UseKind, name: str, options: ListOptions
    ) -> Page[App]: ...
    def put_app(self, app: App) -> None: ...
    def delete_app(self, namespace: str, name: str) -> bool: ...
    def catalog(self, namespace: str) -> Catalog:
        """The apps of the namespace; the same object as long as no resource has changed."""
        ...

    def system_apps(self, namespace: str) -> SystemApps | None:
        """What the nodes of the namespace are given; None where nobody said anything.

        Unavailable as for `config`.
        """
        ...

    def put_system_apps(self, system: SystemApps) -> None: ...

    def config(self, namespace: str, name: str) -> Config | None:
        """Unavailable if it cannot be unsealed with this server's key."""
        ...

    def configs(self, namespace: str) -> Sequence[Config]: ...
    def list_configs(self, namespace: str, options: ListOptions) -> Page[Config]: ...
    def put_config(self, config: Config) -> None: ...
    def delete_config(self, namespace: str, name: str) -> bool: ...

    def secret(self, namespace: str, name: str) -> Secret | None:
        """Unavailable if it cannot be unsealed with this server's key."""
        ...

    def secrets(self, namespace: str) -> Sequence[Secret]: ...
    def list_secrets(self, namespace: str, options: ListOptions) -> Page[Secret]: ...
    def put_secret(self, secret: Secret) -> None: ...
    def delete_secret(self, namespace: str, name: str) -> bool: ...

    def registry(self, namespace: str, name: str) -> Registry | None:
        """Unavailable if it cannot be unsealed with this server's key."""
        ...

    def registries(self, namespace: str) -> Sequence[Registry]: ...
    def list_registries(self, namespace: str, options: ListOptions) -> Page[Registry]: ...
    def put_registry(self, registry: Registry) -> None: ...
    def delete_registry(self, namespace: str, name: str) -> bool: ...

    # batches and records
    def batch(self, namespace: str, name: str) -> Batch | None: ...
    def batches(self, namespace: str) -> Sequence[Batch]: ...
    def list_batches(self, namespace: str, options: PageOptions) -> NumberedPage[Batch]:
        """The page that *options* asks for, newest first; past the end it is empty."""
        ...

    def put_batch(self, batch: Batch) -> None: ...
    def delete_batch(self, namespace: str, name: str) -> bool:
        """HasRecords while there are records of the batch."""
        ...

    def record(self, namespace: str, batch: str, name: str) -> Record | None: ...
    def record_by_fingerprint(self, namespace: str, batch: str, fingerprint: str) -> Record | None:
        """The record whose normalised fingerprint is that of *fingerprint*."""
        ...

    def records(self, namespace: str, batch: str) -> Sequence[Record]: ...
    def fingerprints(self, namespace: str, batch: str) -> Sequence[str]:
        """The fingerprint of each record."""
        ...

    def list_records(
        self, namespace: str, batch: str, options: PageOptions
    ) -> NumberedPage[Record]:
        """The page that *options* asks for, newest first; a name is looked for in fingerprints too.

        Past the end it is empty.
        """
        ...

    def records_of_node(self, namespace: str, node_name: str) -> Sequence[Record]:
        """Records of any batch that stand for the node of that name."""
        ...

    def count_records(self, namespace: str, batch: str) -> int:
        """How many there are, at no cost: activation asks for it."""
        ...

    def put_record(self, record: Record) -> None:
        """Conflict if another record of the batch has the same normalised fingerprint.

        NotFound if there is no such batch.
        """
        ...

    def add_records(self, namespace: str, batch: str, names: Sequence[str], now: datetime) -> None:
        """Put a new record for each name, with the name as its fingerprint and as its node's.

        Conflict if one of the names or its normalised fingerprint is taken, NotFound if there is no
        such batch.
        """
        ...

    def delete_record(self, namespace: str, batch: str, name: str) -> bool: ...

    # callbacks
    def callback(self, namespace: str, name: str) -> Callback | None:
        """Unavailable if it cannot be unsealed with this server's key."""
        ...

    def list_callbacks(self, namespace: str, options: PageOptions) -> NumberedPage[Callback]:
        """The page that *options* asks for, newest first; past the end it is empty."""
        ...

    def put_callback(self, callback: Callback) -> None:
        """What is known of how it did stays."""
        ...

    def delete_callback(self, namespace: str, name: str) -> bool:
        """Forget the callback, how it did and what it was still to be told."""
        ...

    def callback_outcome(self, namespace: str, name: str) -> Outcome: ...
    def note_success(self, namespace: str, name: str, now: datetime) -> None: ...
    def note_error(self, namespace: str, name: str, error: str, now: datetime) -> None: ...

    # what callbacks have yet to be told
    def put_delivery(self, delivery: Delivery) -> None:
        """Put in the queue, or note what became of an attempt; what it says never changes.

        NotFound if there is no such callback.
        """
        ...

    def delete_delivery(self, delivery_id: str) -> bool: ...
    def due_callbacks(self, now: datetime) -> Sequence[tuple[str, str]]:
        """Each callback (namespace, name) that is to be told something at *now*, once."""
        ...

    def next_due(self, now: datetime) -> datetime | None:
        """When the next thing after *now* is to be told; None if there is nothing."""
        ...

    def due_deliveries(
        self, namespace: str, name: str, now: datetime, limit: int
    ) -> Sequence[Delivery]:
        """What the callback is to be told at *now*, what is due longest first."""
        ...

    def given_up(self, namespace: str, name: str, limit: int) -> Sequence[Delivery]:
        """What the callback could not be told, newest first."""
        ...

    def retry_given_up(self, namespace: str, name: str, now: datetime) -> int:
        """Put all of that back in the queue, as if it were of *now*; how much it was."""
        ...

    def forget_given_up(self, before: datetime) -> int:
        """Drop what was given up and is older than *before*; how much it was."""
        ...

    # certificates
    def certificate(self, serial: int) -> NodeCertificate | None: ...
    def live_certificates(self, node_id: str, now: datetime) -> Sequence[NodeCertificate]:
        """Those of the node that were not taken back and have not ended, oldest first."""
        ...

    def put_certificate(self, certificate: NodeCertificate) -> None: ...
    def live_keys(self, node_id: str) -> frozenset[str]:
        """Digests of the keys of the node's certificates, expired or not, that are not taken back.

        The empty one stands for certificates whose key was not noted.
        """
        ...

    def is_cut_off(self, node_id: str, since: datetime) -> bool:
        """Whether every certificate of the node was taken back, one from *since* on among them."""
        ...

    def revoke_certificates(self, node_id: str, now: datetime) -> int:
        """Take back every certificate of the node that is not yet; how many there were."""
        ...

    def revoked_certificates(self, after: datetime) -> Sequence[NodeCertificate]:
        """What was taken back and ends later than *after*, in the order they end."""
        ...

    def list_certificate_ends(
        self, namespace: str, before: datetime, options: ListOptions
    ) -> Page[CertificateEnd]:
        """Of nodes whose last certificate ends before *before*; the first to end first.

        Selectors are not looked at; the place of a page is an end and a node's name.
        """
        ...

    def certificate_end(self, namespace: str, name: str) -> CertificateEnd | None:
        """The same of one node, whenever it ends."""
        ...

    def count_certificate_ends(self, bounds: Sequence[datetime | None]) -> Sequence[int]:
        """How many nodes, of all namespaces, have their last certificate end by each of *bounds*.

        None is no bound.
        """
        ...

    def revocation_state(self) -> RevocationState: ...
    def put_revocation_state(self, state: RevocationState) -> None:
        """Note *state*, but for its changes, which are counted here."""
        ...

    # tokens that bring in a machine
    def install_token(self, digest: str) -> InstallToken | None: ...
    def install_tokens(
        self, namespace: str, kind: TargetKind, name: str
    ) -> Sequence[InstallToken]: ...
    def put_install_token(self, token: InstallToken) -> None: ...
    def delete_install_token(self, digest: str) -> bool: ...
    def delete_install_tokens(self, namespace: str, kind: TargetKind, name: str) -> int:
        """Forget every token for that node or batch; how many there were."""
        ...

    def delete_expired_install_tokens(self, now: datetime) -> int:
        """Forget every token that can no longer be used at *now*; how many there were."""
        ...

    # tokens that open the API
    def api_token(self, digest: str) -> ApiToken | None: ...
    def api_tokens(self, namespace: str) -> Sequence[ApiToken]: ...
    def list_api_tokens(self, namespace: str, options: ListOptions) -> Page[ApiToken]:
        """Oldest first; EVERYWHERE stands for those of every namespace. No selectors."""
        ...

    def put_api_token(self, token: ApiToken) -> None:
        """Conflict if a token of another name has the same digest."""
        ...

    def delete_api_token(self, namespace: str, name: str) -> bool: ...

    # reports
    def report(self, namespace: str, name: str) -> StoredReport | None: ...
    def heard(self, namespace: str, name: str) -> Heard | None:
        """When the node was heard, and how often it reports; None if it never did."""
        ...

    def count_states(self, now: datetime) -> Mapping[State, int]:
        """How many nodes, of all namespaces, stand how at *now*.

        Looks at every report: 0.1 s or more of 100,000 nodes.
        """
        ...

    def put_report(
        self,
        namespace: str,
        name: str,
        report: Report,
        encoding: str,
        now: datetime,
        pace: Pace = ...,
    ) -> None:
        """Replace the node's last report, and drop the usage that came after the one before.

        *pace* is the node's by this report; the usual one where it is left out.

        NotFound if there is no such node.
        """
        ...

    def put_usage(self, namespace: str, name: str, usage: bytes, now: datetime) -> int | None:
        """Keep usage beside the node's report; None, and nothing kept, where there is none.

        Returns the number of the last step that has a point of usage.
        """
        ...

    def reporter(self, namespace: str, name: str) -> Reporter | None:
        """What taking a report of that node needs to know, in one look; None: no such node."""
        ...

    def foresee(self, nodes: Iterable[tuple[str, str]]) -> None:
        """Look at all *nodes* (namespace, name) at once, for `reporter` to be asked of each."""
        ...

    # properties
    def properties(self, namespace: str, name: str) -> Properties:
        """Those of the node, none where there is no such node."""
        ...

    def put_properties(self, namespace: str, name: str, properties: Properties) -> None:
        """NotFound if there is no such node."""
        ...

    # deploys
    def deploys(self, namespace: str, name: str, limit: int | None = None) -> Sequence[Deploy]:
        """Those of the node, the newest first."""
        ...

    def open_deploy(self, namespace: str, name: str) -> Deploy | None:
        """The one whose end is waited for, if there is one."""
        ...

    def put_deploy(self, namespace: str, name: str, deploy: Deploy, *, is_open: bool) -> None:
        """NotFound if there is no such node."""
        ...

    def delete_old_deploys(self, namespace: str, name: str, number: int) -> None:
        """Forget those of the node up to *number*."""
        ...

    # nodes to be told
    def mark_stale(self, nodes: Iterable[Node]) -> None:
        """Note that these nodes may have to be told something; wakes the pusher after commit.

        Nodes that are not there are left out.
        """
        ...

    def count_waiting(self) -> Waiting:
        """How much there is of what servers have yet to do, for all namespaces."""
        ...

    def mark_selected_stale(self, namespace: str, selector: Selector) -> None:
        """As `mark_stale` for the nodes that an app with *selector* is for; without terms: none."""
        ...

    def is_stale(self, namespace: str, name: str) -> bool:
        """Say whether the node is noted."""
        ...

    def take_stale(self, limit: int) -> Sequence[tuple[str, str]]:
        """Take up to *limit* noted nodes (namespace, name) off the list; no two callers get one."""
        ...

    # the audit log
    def append_audit(self, entry: Entry) -> Link:
        """Put *entry* at the end of the log; the last thing a transaction does."""
        ...

    def audit_head(self) -> Head: ...
    def audit_anchor(self) -> Anchor: ...
    def audit_link(self, number: int) -> Link | None: ...
    def audit_links(self, wanted: AuditFilter, *, below: int, limit: int) -> Sequence[Link]:
        """Up to *limit* entries with a number *below* that, newest first."""
        ...

    def count_audit(self, wanted: AuditFilter) -> int: ...
    def first_audit_since(self, since: datetime) -> int:
        """Number of the first entry that is not older; past the end where all are."""
        ...

    def prune_audit(self, number: int) -> None:
        """Forget all entries up to that *number*, which has to be there; the log begins after."""
        ...

    # servers that share the database
    def note_server(self, server_id: str, now: datetime) -> None:
        """Remember that the server was there at *now*."""
        ...

    def claim_server(self, since: datetime, now: datetime) -> str | None:
        """One of the servers not noted since *since*, noted again at *now*: no two callers get it.

        None: there is none.
        """
        ...

    def keep_server(self, server_id: str, now: datetime) -> None:
        """As `note_server`, but for one that was forgotten."""
        ...

    def forget_server(self, server_id: str) -> None: ...


class Store(Protocol):
    """Runs work off the event loop, each piece in a transaction of its own.

    Commits when the work returns, rolls back when it raises; what was returned is durable.
    Cancelling the wait does not undo the work: afterwards it is unknown whether it was done.
    """

    def write(self, work: Callable[[Transaction], T]) -> Awaitable[T]:
        """Run *work* with the right to change things; one at a time."""
        ...

    def write_apart(self, work: Callable[[Transaction], T]) -> Awaitable[T]:
        """As `write`, for work that relies on nothing but what it changes itself.

        Such is what nodes say about themselves. Where several servers share a database it runs
        beside what others write.
        """
        ...

    def read(self, work: Callable[[Transaction], T]) -> Awaitable[T]:
        """Run *work* with the right to look; others may write meanwhile."""
        ...

    async def wait_for_stale(self) -> None:
        """Return when nodes may have been noted as stale since the last call."""
        ...


@runtime_checkable
class WakingStore(Store, Protocol):
    """A store that says when events were noted."""

    async def wait_for_events(self) -> None:
        """Return when events may have been noted here, or numbered elsewhere, since the last call.

        A notice of other servers may be lost; whoever waits looks from time to time.
        """
        ...
