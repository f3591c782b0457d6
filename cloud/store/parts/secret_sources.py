"""Secrets whose values are read from sources outside."""

from collections.abc import Sequence

import msgspec

from cloud.core.secret_source import SourceState
from cloud.store.parts.part import NOTHING, TransactionPart
from cloud.store.rows import micros, moment
from cloud.store.statements import statement

PLACE = "secretsource"
"""First part of the place that a digest is sealed for."""

SOURCED_SECRETS = statement(
    "SELECT namespace, name FROM secret_source ORDER BY namespace, name",
    reads={"secret_source"},
)
NEW_SOURCED_SECRETS = statement(
    """
    SELECT namespace, name FROM secret_source
    WHERE document = '' AND error = '' ORDER BY namespace, name
    """,
    reads={"secret_source"},
)
COUNT_UNREADABLE_SECRETS = statement(
    "SELECT count(*) FROM secret_source WHERE error <> ''",
    reads={"secret_source"},
)
FIND_SOURCE_STATE = statement(
    """
    SELECT document, error, since FROM secret_source
    WHERE namespace = :namespace AND name = :name
    """,
    reads={"secret_source"},
)
FORGET_SOURCE_STATE = statement(
    """
    INSERT INTO secret_source (namespace, name, document, error, since)
    VALUES (:namespace, :name, '', '', 0)
    ON CONFLICT (namespace, name) DO UPDATE SET document = '', error = '', since = 0
    """,
    writes={"secret_source"},
)
PUT_SOURCE_STATE = statement(
    """
    UPDATE secret_source SET document = :document, error = :error, since = :since
    WHERE namespace = :namespace AND name = :name
    """,
    writes={"secret_source"},
)
DELETE_SOURCE_STATE = statement(
    "DELETE FROM secret_source WHERE namespace = :namespace AND name = :name",
    writes={"secret_source"},
)
# For a new key.
SEALED_SOURCE_STATES = statement(
    "SELECT namespace, name, document FROM secret_source WHERE document <> ''",
    reads={"secret_source"},
)
RESEAL_SOURCE_STATE = statement(
    """
    UPDATE secret_source SET document = :document
    WHERE namespace = :namespace AND name = :name
    """,
    writes={"secret_source"},
)


class _Digest(msgspec.Struct, frozen=True):
    salt: str
    digest: str


_DIGEST = msgspec.json.Decoder(_Digest)


class SecretSourcePart(TransactionPart):
    """What is known of the values of secrets with sources."""

    def sourced_secrets(self) -> Sequence[tuple[str, str]]:
        """Namespace and name of each secret that has sources."""
        return [(str(row[0]), str(row[1])) for row in self._run(SOURCED_SECRETS, NOTHING)]

    def new_sourced_secrets(self) -> Sequence[tuple[str, str]]:
        """Those of them that were never read."""
        return [(str(row[0]), str(row[1])) for row in self._run(NEW_SOURCED_SECRETS, NOTHING)]

    def count_unreadable_secrets(self) -> int:
        """How many of them cannot be read, in all namespaces."""
        return int(self._run(COUNT_UNREADABLE_SECRETS, NOTHING)[0][0])

    def source_state(self, namespace: str, name: str) -> SourceState:
        """What is known; of a secret without sources nothing."""
        rows = self._run(FIND_SOURCE_STATE, {"namespace": namespace, "name": name})
        if not rows:
            return SourceState()
        text, error, since = rows[0]
        known = _Digest("", "")
        if text:
            known = _DIGEST.decode(self._sealer.unseal(text, PLACE, namespace, name))
        return SourceState(known.salt, known.digest, error, moment(since) if since else None)

    def put_source_state(self, namespace: str, name: str, state: SourceState) -> None:
        """Keep *state*, if the secret still has sources."""
        text = ""
        if state.digest:
            plain = msgspec.json.encode(_Digest(state.salt, state.digest))
            text = self._sealer.seal(plain, PLACE, namespace, name)
        since = micros(state.since) if state.since else 0
        row = {"namespace": namespace, "name": name, "document": text}
        self._run(PUT_SOURCE_STATE, {**row, "error": state.error, "since": since})
