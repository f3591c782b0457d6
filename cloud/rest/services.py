"""The dependencies of the REST API."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from cloud.core.channel import NotificationChannel
from cloud.core.encryption_key import SEALED_IF_POSSIBLE, SealingPolicy
from cloud.core.listing import LIST_BYTES, LIST_LIMIT
from cloud.core.revisions import REVISIONS_KEPT
from cloud.core.secret_source import Sources
from cloud.core.sending import Delivery, DeliveryAttempt
from cloud.core.usage import DEFAULT_USAGE_STEP
from cloud.http.addresses import Network
from cloud.http.metrics import Metrics
from cloud.http.notifier import Notifier
from cloud.http.refusals import RefusalLog
from cloud.jobs.source_reader import SourceReader
from cloud.operations.seen_rollouts import SeenRollouts
from cloud.rest.authenticator import Authenticator
from cloud.rest.continuation import Continuations
from cloud.rest.count_cache import CountCache
from cloud.rest.event_stream import EventStreams
from cloud.rest.health import Check, Report
from cloud.rest.node_items import NodeItems
from cloud.rest.places import Places, channel_tests, command_waits
from cloud.rest.sessions import Sessions
from cloud.rest.sign_in.command_line import CommandLineSignIn
from cloud.rest.sign_in.local import LocalSignIn
from cloud.store.transaction import Store

if TYPE_CHECKING:
    from cloud.rest.sign_in.service import SignInService


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Everything that handlers of the REST API use; the wiring builds it once."""

    store: Store
    clock: Callable[[], datetime]
    new_id: Callable[[], str]
    """Makes ids without dashes."""
    new_token: Callable[[], str]
    """Makes secrets: API tokens and installation tokens."""
    version: str
    default_namespace: str
    authenticator: Authenticator
    sessions: Sessions
    local_sign_in: LocalSignIn
    """Signs users in whom the server itself keeps."""
    command_line: CommandLineSignIn
    """Logins of the command line that users approve."""
    continuations: Continuations
    counts: CountCache
    streams: EventStreams
    metrics: Metrics
    refusals: RefusalLog
    """Records refused calls in the audit log."""
    on_revoked: Callable[[str], None]
    """Called with the id of a node whose certificates were revoked."""
    is_connected: Callable[[str], bool | None]
    """Whether the node with that id is connected; None if unknown."""
    wake_callbacks: Callable[[], None]
    """Called when there are new deliveries for callbacks."""
    try_channel: Callable[[NotificationChannel, Delivery], Awaitable[DeliveryAttempt]]
    """Sends a test message by a channel, and stores the outcome."""
    wake_channels: Callable[[], None] = lambda: None
    """Called when there are new deliveries for channels."""
    channel_tests: Places = field(default_factory=channel_tests)
    """Places of requests that wait for the outcome of a test message."""
    wake_commands: Callable[[], None] = lambda: None
    """Called when there is a new command for a node."""
    notifier: Notifier = field(default_factory=Notifier)
    """Notified with the id of a node that responded to a command."""
    command_waits: Places = field(default_factory=command_waits)
    """Places of requests that wait for the end of a command."""
    install_command: Callable[[str], str]
    """Makes of an installation token the shell command that installs a node."""
    function_runtimes: Mapping[str, str]
    """Image by runtime of functions."""
    checks: Mapping[str, Check]
    """Checks of `/readyz`, by name."""
    reports: Mapping[str, Report] = field(default_factory=dict)
    """Further content of `/readyz?verbose`, by name."""
    identity: "SignInService | None" = None
    """The identity providers; None where there are none."""
    seen_rollouts: SeenRollouts = field(default_factory=SeenRollouts)
    """How rollouts stood when they were driven last."""
    trusted_proxies: Sequence[Network] = ()
    check_sources: Callable[[Sources], None] = field(default_factory=lambda: SourceReader().check)
    """Raises Invalid for sources of secrets that this server does not read."""
    sealing: SealingPolicy = SEALED_IF_POSSIBLE
    """Which secrets only leave sealed."""
    node_items: NodeItems = field(init=False)
    """Items of lists of nodes."""
    can_sign: bool = True
    """Whether objects that need credentials can be given to nodes as presigned URLs."""
    list_limit: int = LIST_LIMIT
    list_bytes: int = LIST_BYTES
    """Items in one answer of a list."""
    usage_step: timedelta = DEFAULT_USAGE_STEP
    """Time between two points of usage."""
    revisions_kept: int = REVISIONS_KEPT
    """Revisions retained for each resource."""

    def __post_init__(self) -> None:
        """Make what depends on the rest."""
        object.__setattr__(self, "node_items", NodeItems(self.sealing))
