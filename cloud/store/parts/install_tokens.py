"""Tokens that bring in a machine."""

from collections.abc import Sequence
from datetime import datetime

from cloud.core.installation import InstallToken, TargetKind
from cloud.store.parts.part import TransactionPart, first
from cloud.store.rows import Parameters, Row, micros, moment
from cloud.store.statements import statement

INSTALL_TOKEN = statement(
    """
    SELECT digest, namespace, kind, name, created, expires
        FROM install_token WHERE digest = :digest
    """,
    reads={"install_token"},
)
INSTALL_TOKENS = statement(
    """
    SELECT digest, namespace, kind, name, created, expires FROM install_token
    WHERE namespace = :namespace AND kind = :kind AND name = :name ORDER BY created, digest
    """,
    reads={"install_token"},
)
PUT_INSTALL_TOKEN = statement(
    """
    INSERT INTO install_token (digest, namespace, kind, name, created, expires)
    VALUES (:digest, :namespace, :kind, :name, :created, :expires)
    ON CONFLICT (digest) DO UPDATE SET
        namespace = excluded.namespace, kind = excluded.kind, name = excluded.name,
        created = excluded.created, expires = excluded.expires
    """,
    writes={"install_token"},
)
DELETE_INSTALL_TOKEN = statement(
    """
    DELETE FROM install_token WHERE digest = :digest RETURNING digest
    """,
    writes={"install_token"},
)
DELETE_INSTALL_TOKENS = statement(
    """
    DELETE FROM install_token WHERE namespace = :namespace AND kind = :kind AND name = :name
    RETURNING digest
    """,
    writes={"install_token"},
)
DELETE_EXPIRED_INSTALL_TOKENS = statement(
    "DELETE FROM install_token WHERE expires <= :now RETURNING digest",
    writes={"install_token"},
)


class InstallTokenPart(TransactionPart):
    """Installation tokens."""

    def install_token(self, digest: str) -> InstallToken | None:
        return first(_install_token_of, self._run(INSTALL_TOKEN, {"digest": digest}))

    def install_tokens(self, namespace: str, kind: TargetKind, name: str) -> Sequence[InstallToken]:
        key = {"namespace": namespace, "kind": kind.value, "name": name}
        return [_install_token_of(row) for row in self._run(INSTALL_TOKENS, key)]

    def put_install_token(self, token: InstallToken) -> None:
        self._run(PUT_INSTALL_TOKEN, _install_token_row(token))

    def delete_install_token(self, digest: str) -> bool:
        return bool(self._run(DELETE_INSTALL_TOKEN, {"digest": digest}))

    def delete_install_tokens(self, namespace: str, kind: TargetKind, name: str) -> int:
        """Forget every token for that node or batch; how many there were."""
        key = {"namespace": namespace, "kind": kind.value, "name": name}
        return len(self._run(DELETE_INSTALL_TOKENS, key))

    def delete_expired_install_tokens(self, now: datetime) -> int:
        """Forget every token that can no longer be used at *now*; how many there were."""
        return len(self._run(DELETE_EXPIRED_INSTALL_TOKENS, {"now": micros(now)}))


def _install_token_of(row: Row) -> InstallToken:
    """The token of a row of `INSTALL_TOKEN`."""
    digest, namespace, kind, name, created, expires = row
    return InstallToken(digest, namespace, TargetKind(kind), name, moment(created), moment(expires))


def _install_token_row(token: InstallToken) -> Parameters:
    """Parameters of `PUT_INSTALL_TOKEN`."""
    return {
        "digest": token.digest,
        "namespace": token.namespace,
        "kind": token.kind.value,
        "name": token.name,
        "created": micros(token.created),
        "expires": micros(token.expires),
    }
