"""The dependencies of the endpoints for nodes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from certs.authority import Authority
from cloud.http.addresses import Network
from cloud.http.refusals import RefusalLog
from cloud.link.measures import Measures
from cloud.store.transaction import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkServices:
    """Everything that the activation port uses beside its own limits; the wiring builds it once."""

    store: Store
    authority: Authority
    clock: Callable[[], datetime]
    new_id: Callable[[], str]
    new_serial: Callable[[], int]
    default_namespace: str
    disconnect: Callable[[str], None]
    """Called with the id of a node whose certificates were revoked."""
    wake_callbacks: Callable[[], None]
    """Called when there are new deliveries for callbacks."""
    refusals: RefusalLog
    """Records refused calls in the audit log."""
    measures: Measures
    trusted_proxies: Sequence[Network] = ()
