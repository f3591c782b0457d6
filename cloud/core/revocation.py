"""The content of a certificate revocation list (RFC 5280, 5)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cloud.core.certificate import NodeCertificate

BACKDATE = timedelta(hours=1)
"""How far `thisUpdate` is backdated, for clocks that run behind."""

KEPT_AFTER_EXPIRY = timedelta(days=2)
"""An entry is on at least one more list after its certificate has ended (RFC 5280, 3.3)."""

STEP = timedelta(seconds=1)
"""The least difference between two lists, as dates in them are exact to a second."""


@dataclass(frozen=True, slots=True)
class RevocationState:
    """The state of the lists: *changes* counts revocations, *number*, *issued*: of the last."""

    changes: int
    number: int
    issued: datetime


@dataclass(frozen=True, slots=True)
class RevocationList:
    """A list to be signed: *revoked* as of *changes*, under a *number* never used before."""

    changes: int
    number: int
    issued: datetime
    revoked: Sequence[NodeCertificate]


def next_state(last: RevocationState, now: datetime) -> RevocationState:
    """State after one more list: its number is higher, and its date is later than the last.

    OpenSSL takes the newest of the lists it was given, so two of one second would not do.
    A last one from a future that a clock has since left cannot be outdone: then the clock counts.
    """
    issued = now.replace(microsecond=0) - BACKDATE
    if issued - STEP < last.issued <= now - STEP:
        issued = last.issued + STEP
    return RevocationState(last.changes, last.number + 1, issued)
