"""What opens the server: certificates of nodes, tokens of machines and of people."""
# ruff: noqa: D102  # `interface` says what each method promises

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, TypeVar

from cloud.core.certificate import NodeCertificate
from cloud.core.expiry import CertificateEnd
from cloud.core.installation import InstallToken, TargetKind
from cloud.core.listing import ListOptions, Page, Place
from cloud.core.revocation import RevocationState
from cloud.core.tokens import ApiToken
from cloud.errors import Conflict
from cloud.store import sql
from cloud.store.parts.part import (
    NOTHING,
    DuplicateKey,
    Part,
    first,
)
from cloud.store.rows import (
    Parameters,
    api_token_of,
    api_token_row,
    certificate_of,
    certificate_row,
    install_token_of,
    install_token_row,
    micros,
    moment,
)

T = TypeVar("T")

FAR = 2**63 - 1
"""Later than any time and more than any count."""


class CredentialPart(Part):
    """Certificates and tokens."""

    # certificates
    def certificate(self, serial: int) -> NodeCertificate | None:
        return first(certificate_of, self._run(sql.CERTIFICATE, {"serial": str(serial)}))

    def live_certificates(self, node_id: str, now: datetime) -> Sequence[NodeCertificate]:
        found = self._run(sql.LIVE_CERTIFICATES, {"node_id": node_id, "now": micros(now)})
        return [certificate_of(row) for row in found]

    def put_certificate(self, certificate: NodeCertificate) -> None:
        row = certificate_row(certificate)
        self._run(sql.PUT_CERTIFICATE, row)
        if certificate.revoked is None:
            place = _place(certificate.node_id)
            noted = {key: row[key] for key in ("serial", "expires")}
            self._run(sql.NOTE_LAST_CERTIFICATE, {**place, **noted})

    def live_keys(self, node_id: str) -> frozenset[str]:
        return frozenset(key for (key,) in self._run(sql.LIVE_KEYS, {"node_id": node_id}))

    def is_cut_off(self, node_id: str, since: datetime) -> bool:
        key: Parameters = {"node_id": node_id, "since": micros(since)}
        return any(found for (found,) in self._run(sql.IS_CUT_OFF, key))

    def revoke_certificates(self, node_id: str, now: datetime) -> int:
        key: Parameters = {"node_id": node_id, "now": micros(now)}
        count = len(self._run(sql.REVOKE_CERTIFICATES, key))
        if count:
            self._run(sql.REVOCATIONS_CHANGED, NOTHING)
            self._run(sql.NO_LAST_CERTIFICATE, _place(node_id))
        return count

    def revoked_certificates(self, after: datetime) -> Sequence[NodeCertificate]:
        found = self._run(sql.REVOKED_CERTIFICATES, {"after": micros(after)})
        return [certificate_of(row) for row in found]

    def list_certificate_ends(
        self, namespace: str, before: datetime, options: ListOptions
    ) -> Page[CertificateEnd]:
        key: Parameters = {"namespace": namespace, "before": micros(before)}
        total: int = self._run(sql.COUNT_CERTIFICATE_ENDS, key)[0][0]
        rows = self._run(sql.CERTIFICATE_ENDS, {**key, **_bounds(options)})
        found = [_end_of(row) for row in rows]
        return _page(found, total, options.limit, lambda end: (end.expires, end.name))

    def certificate_end(self, namespace: str, name: str) -> CertificateEnd | None:
        rows = self._run(sql.CERTIFICATE_END, {"namespace": namespace, "name": name})
        return _end_of(rows[0]) if rows else None

    def count_certificate_ends(self, bounds: Sequence[datetime | None]) -> Sequence[int]:
        ends = (FAR if bound is None else micros(bound) for bound in bounds)
        return [self._run(sql.COUNT_ALL_CERTIFICATE_ENDS, {"before": end})[0][0] for end in ends]

    def revocation_state(self) -> RevocationState:
        changes, number, issued = self._run(sql.REVOCATION_STATE, NOTHING)[0]
        return RevocationState(changes, number, moment(issued))

    def put_revocation_state(self, state: RevocationState) -> None:
        row: Parameters = {"number": state.number, "issued": micros(state.issued)}
        self._run(sql.PUT_REVOCATION_STATE, row)

    # tokens that bring in a machine
    def install_token(self, digest: str) -> InstallToken | None:
        return first(install_token_of, self._run(sql.INSTALL_TOKEN, {"digest": digest}))

    def install_tokens(self, namespace: str, kind: TargetKind, name: str) -> Sequence[InstallToken]:
        key = {"namespace": namespace, "kind": kind.value, "name": name}
        return [install_token_of(row) for row in self._run(sql.INSTALL_TOKENS, key)]

    def put_install_token(self, token: InstallToken) -> None:
        self._run(sql.PUT_INSTALL_TOKEN, install_token_row(token))

    def delete_install_token(self, digest: str) -> bool:
        return bool(self._run(sql.DELETE_INSTALL_TOKEN, {"digest": digest}))

    def delete_install_tokens(self, namespace: str, kind: TargetKind, name: str) -> int:
        key = {"namespace": namespace, "kind": kind.value, "name": name}
        return len(self._run(sql.DELETE_INSTALL_TOKENS, key))

    def delete_expired_install_tokens(self, now: datetime) -> int:
        return len(self._run(sql.DELETE_EXPIRED_INSTALL_TOKENS, {"now": micros(now)}))

    # tokens that open the API
    def api_token(self, digest: str) -> ApiToken | None:
        return first(api_token_of, self._run(sql.API_TOKEN, {"digest": digest}))

    def api_tokens(self, namespace: str) -> Sequence[ApiToken]:
        found = self._run(sql.API_TOKENS, {"namespace": namespace})
        return [api_token_of(row) for row in found]

    def list_api_tokens(self, namespace: str, options: ListOptions) -> Page[ApiToken]:
        key = {"namespace": namespace}
        rows = self._run(sql.API_TOKENS_PAGE, {**key, **_bounds(options)})
        total: int = self._run(sql.COUNT_API_TOKENS, key)[0][0]
        return _page(
            [api_token_of(row) for row in rows],
            total,
            options.limit,
            lambda token: (token.created, f"{token.namespace}/{token.name}"),
        )

    def put_api_token(self, token: ApiToken) -> None:
        try:
            self._run(sql.PUT_API_TOKEN, api_token_row(token))
        except DuplicateKey as error:
            raise Conflict("token", token.name) from error

    def delete_api_token(self, namespace: str, name: str) -> bool:
        key = {"namespace": namespace, "name": name}
        return bool(self._run(sql.DELETE_API_TOKEN, key))


def _end_of(row: Any) -> CertificateEnd:
    return CertificateEnd(row[0], row[1], int(row[2]), moment(row[3]))


def _bounds(options: ListOptions) -> Parameters:
    """Where a page begins, and one more than it holds: that says whether there is another."""
    limit = options.limit + 1 if options.limit else FAR
    if options.after is None:
        return {"after": -FAR, "after_name": "", "limit": limit}
    moment, name = options.after
    return {"after": micros(moment), "after_name": name, "limit": limit}


def _page(found: Sequence[T], total: int, limit: int, place_of: Callable[[T], Place]) -> Page[T]:
    """The page that `_bounds` led to."""
    if not limit or len(found) <= limit:
        return Page(found, total)
    return Page(found[:limit], total, place_of(found[limit - 1]))


def _place(node_id: str) -> Parameters:
    namespace, _, name = node_id.partition(".")
    return {"namespace": namespace, "name": name}
