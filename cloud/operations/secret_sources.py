"""Values of secrets that are read from sources outside: never stored, and which versions they have.

A version of a secret belongs to the values that its sources had when it was given: a keyed digest
of them is stored, and other values make a new version.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from cloud.core.app import App, uses_of
from cloud.core.audit import SERVER, Action, Attempt
from cloud.core.kinds import SECRET
from cloud.core.secret import Secret
from cloud.core.secret_source import Sources, SourceState, values_digest
from cloud.errors import SecretsUnread
from cloud.operations.audit import carry_out
from cloud.operations.events import record_unreadable_event
from cloud.operations.resources import renew_resource
from cloud.store.transaction import Transaction

ValuesOf = Callable[[Secret], Mapping[str, str] | None]
"""The values of the sources of a secret, read a moment ago; None if they have to be read.

SecretUnreadable if they could not be read a moment ago.
"""


def reads_nothing(_secret: Secret) -> None:
    """The values where a server reads no sources."""


def delivered_secret(tx: Transaction, secret: Secret, values_of: ValuesOf) -> Secret:
    """*secret* as it is delivered: with the values of its sources, each as it was read.

    What is stored now is delivered only with the values that it got its version for. Of an older
    version nothing is stored: it has the values of now. SecretsUnread if they have to be read;
    SecretUnreadable as by *values_of*.
    """
    if not secret.sources:
        return secret
    values = values_of(secret)
    is_present = tx.resource_version(SECRET, secret.namespace, secret.name) == secret.version
    if values is None or (
        is_present and not tx.source_state(secret.namespace, secret.name).is_of(values)
    ):
        raise SecretsUnread((secret.namespace, secret.name, secret.sources))
    return secret.with_values(values)


@dataclass(frozen=True, slots=True)
class SourcesRead:
    """The outcome of reading the *sources* of a secret: *values*, or else the *error*."""

    namespace: str
    name: str
    sources: Sources
    values: Mapping[str, str]
    error: str = ""

    def is_known(self, state: SourceState) -> bool:
        """Return whether *state* has it already."""
        if self.error:
            return state.error == self.error
        return not state.error and state.is_of(self.values)


def record_sources(
    tx: Transaction, read: SourcesRead, *, new_salt: Callable[[], str], now: datetime
) -> None:
    """Keep the digest of what was *read*, or the error; other values than before: a new version.

    Apps that use it get new versions then, and rollouts begin, as with any other change. Nothing is
    kept if the secret has other sources by now.
    """
    place = read.namespace, read.name
    secret, state = tx.secret(*place), tx.source_state(*place)
    if secret is None or secret.sources != read.sources or read.is_known(state):
        return
    if read.error:
        if not state.error:
            record_unreadable_event(tx, *place, read.error, now=now)
        since = state.since if state.error else now
        tx.put_source_state(*place, replace(state, error=read.error, since=since))
        return
    salt = state.salt or new_salt()
    if state.digest and not state.is_of(read.values):
        attempt = Attempt(SERVER, Action.SECRET_REFRESH, now, *place)
        own = secret
        carry_out(tx, attempt, lambda tx: renew_resource(tx, own, now=now), is_confirmed=True)
    tx.put_source_state(*place, SourceState(salt, values_digest(salt, read.values)))


def unreadable_words(tx: Transaction, app: App) -> Sequence[str]:
    """Of each secret that *app* uses, and whose sources cannot be read, the reason."""
    words = []
    for use in uses_of(app.spec):
        if use.kind is SECRET:
            state = tx.source_state(app.namespace, use.name)
            if state.error:
                words.append(f"the secret {use.name} cannot be read: {state.error}")
    return words
