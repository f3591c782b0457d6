"""Certificates of nodes, when they end and the state of the revocation list."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from cloud.core.certificate import NodeCertificate
from cloud.core.expiry import CertificateEnd
from cloud.core.listing import (
    ListOptions,
    Page,
)
from cloud.core.revocation import RevocationState
from cloud.store.parts.node_status import CERTIFIED_STATUS, REVOKED_STATUS
from cloud.store.parts.part import NOTHING, first, page_bounds, page_of
from cloud.store.parts.row_sets import Lookup, RowSetPart
from cloud.store.rows import ALL, Parameters, Row, micros, micros_or_none, moment, moment_or_none
from cloud.store.statements import set_statement, statement

CERTIFICATE = statement(
    """
    SELECT serial, node_id, created, expires, revoked, key FROM certificate WHERE serial = :serial
    """,
    reads={"certificate"},
)
LIVE_CERTIFICATES = statement(
    """
    SELECT serial, node_id, created, expires, revoked, key FROM certificate
    WHERE node_id = :node_id AND revoked IS NULL AND expires > :now ORDER BY created, serial
    """,
    reads={"certificate"},
)
LIVE_KEYS = statement(
    """
    SELECT DISTINCT key FROM certificate
    WHERE node_id = CAST(:namespace AS TEXT) || '.' || CAST(:name AS TEXT) AND revoked IS NULL
    """,
    reads={"certificate"},
)
LIVE_KEYS_OF_NODES = statement(
    """
    SELECT CAST({json_group_array}({json_array}(given.value, certificate.key)) AS TEXT)
    FROM {elements[names]} CROSS JOIN certificate
    WHERE certificate.node_id = CAST(:namespace AS TEXT) || '.' || given.value
        AND certificate.revoked IS NULL
    """,
    reads={"certificate"},
)
PUT_CERTIFICATE = set_statement(
    """
    INSERT INTO certificate (serial, node_id, created, expires, revoked, key)
    SELECT :serial, :node_id, :created, :expires, :revoked, :key {rows}
    ON CONFLICT (serial) DO UPDATE SET
        node_id = excluded.node_id, created = excluded.created,
        expires = excluded.expires, revoked = excluded.revoked, key = excluded.key
    """,
    numbers={"created", "expires", "revoked"},
    writes={"certificate"},
)
REVOKE_CERTIFICATES = statement(
    """
    UPDATE certificate SET revoked = :now WHERE node_id = :node_id AND revoked IS NULL
        RETURNING serial
    """,
    writes={"certificate"},
)
REVOKED_CERTIFICATES = statement(
    """
    SELECT serial, node_id, created, expires, revoked, key FROM certificate
    WHERE revoked IS NOT NULL AND expires > :after ORDER BY expires, serial
    """,
    reads={"certificate"},
)
REVOCATION_STATE = statement(
    "SELECT changes, number, issued FROM revocation WHERE id = 1",
    reads={"revocation"},
)
PUT_REVOCATION_STATE = statement(
    "UPDATE revocation SET number = :number, issued = :issued WHERE id = 1",
    writes={"revocation"},
)
REVOCATIONS_CHANGED = statement(
    "UPDATE revocation SET changes = changes + 1 WHERE id = 1",
    writes={"revocation"},
)
# Of each node the certificate that ends last.
PUT_LAST_CERTIFICATE = set_statement(
    """
    INSERT INTO last_certificate (namespace, name, serial, expires)
    SELECT :namespace, :name, :serial, :expires {rows}
    AND EXISTS (SELECT 1 FROM node WHERE node.namespace = :namespace AND node.name = :name)
    ON CONFLICT (namespace, name) DO UPDATE SET serial = excluded.serial,
        expires = excluded.expires
    WHERE excluded.expires >= last_certificate.expires
    """,
    numbers={"expires"},
    reads={"node"},
    writes={"last_certificate"},
)
DELETE_LAST_CERTIFICATE = statement(
    """
    DELETE FROM last_certificate WHERE namespace = :namespace AND name = :name
    """,
    reads={"node"},
    writes={"last_certificate"},
)
CERTIFICATE_ENDS = statement(
    """
    SELECT namespace, name, serial, expires FROM last_certificate
    WHERE namespace = :namespace AND expires < :before AND (expires, name) > (:after, :after_name)
    ORDER BY expires, name LIMIT :limit
    """,
    reads={"last_certificate"},
)
CERTIFICATE_END = statement(
    """
    SELECT namespace, name, serial, expires FROM last_certificate
    WHERE namespace = :namespace AND name = :name
    """,
    reads={"last_certificate"},
)
COUNT_CERTIFICATE_ENDS = statement(
    """
    SELECT count(*) FROM last_certificate WHERE namespace = :namespace AND expires < :before
    """,
    reads={"last_certificate"},
)
COUNT_ALL_CERTIFICATE_ENDS = statement(
    "SELECT count(*) FROM last_certificate WHERE expires <= :before",
    reads={"last_certificate"},
)
# Ends of which there was an event.
NEXT_ENDS = statement(
    """
    SELECT namespace, name, serial, expires FROM last_certificate AS own
    WHERE expires > :now AND expires <= :before AND NOT {exists} (
        SELECT 1 FROM ending_certificate AS recorded WHERE recorded.serial = own.serial
    ) ORDER BY expires, namespace, name LIMIT :limit
    """,
    reads={"ending_certificate", "last_certificate"},
)
RECORD_END = statement(
    "INSERT INTO ending_certificate (serial, expires) VALUES (:serial, :expires)",
    writes={"ending_certificate"},
)
FORGET_ENDS = statement(
    "DELETE FROM ending_certificate WHERE expires <= :now",
    writes={"ending_certificate"},
)

KEYS = Lookup(
    LIVE_KEYS, LIVE_KEYS_OF_NODES, lambda _place, rows: frozenset(str(key) for (key,) in rows)
)


class CertificatePart(RowSetPart):
    """Certificates."""

    def certificate(self, serial: int) -> NodeCertificate | None:
        return first(_certificate_of, self._run(CERTIFICATE, {"serial": str(serial)}))

    def live_certificates(self, node_id: str, now: datetime) -> Sequence[NodeCertificate]:
        """Those of the node that are neither revoked nor expired, oldest first."""
        found = self._run(LIVE_CERTIFICATES, {"node_id": node_id, "now": micros(now)})
        return [_certificate_of(row) for row in found]

    def put_certificate(self, certificate: NodeCertificate) -> None:
        key = _place(certificate.node_id)
        row = {**key, **_certificate_row(certificate)}
        place = (str(key["namespace"]), str(key["name"]))
        becomes: dict[Lookup[Any], Any] = {}
        if certificate.revoked is None and self._sets.is_known(KEYS, place):
            becomes[KEYS] = self._sets.value(KEYS, place) | {certificate.key}
        serial = (str(row["serial"]),)
        self._sets.put(PUT_CERTIFICATE, serial, row, place=place, becomes=becomes)
        if certificate.revoked is None:
            # That of another one counts as long as it ends later.
            if self._sets.is_waiting(PUT_LAST_CERTIFICATE, place):
                self._sets.write()
            last = {one: row[one] for one in ("serial", "expires")}
            self._sets.put(PUT_LAST_CERTIFICATE, place, {**key, **last})
            self._sets.put(CERTIFIED_STATUS, place, {**key, "expires": row["expires"]})

    def live_keys(self, node_id: str) -> frozenset[str]:
        """Digests of the keys of the node's certificates, expired or not, that are not revoked.

        The empty one stands for certificates whose key is unknown.
        """
        namespace, _, name = node_id.partition(".")
        return self._sets.value(KEYS, (namespace, name))

    def revoke_certificates(self, node_id: str, now: datetime) -> int:
        """Revoke every certificate of the node that is not yet; how many there were."""
        key: Parameters = {"node_id": node_id, "now": micros(now)}
        count = len(self._run(REVOKE_CERTIFICATES, key))
        if count:
            self._run(REVOCATIONS_CHANGED, NOTHING)
            self._run(DELETE_LAST_CERTIFICATE, _place(node_id))
            self._run(REVOKED_STATUS, _place(node_id))
        return count

    def revoked_certificates(self, after: datetime) -> Sequence[NodeCertificate]:
        """Revoked ones that expire later than *after*, in the order of their expiry."""
        found = self._run(REVOKED_CERTIFICATES, {"after": micros(after)})
        return [_certificate_of(row) for row in found]

    def list_certificate_ends(
        self, namespace: str, before: datetime, options: ListOptions
    ) -> Page[CertificateEnd]:
        """Of nodes whose last certificate ends before *before*; the first to end first.

        Selectors are not looked at; the place of a page is an end and a node's name.
        """
        key: Parameters = {"namespace": namespace, "before": micros(before)}
        total: int = self._run(COUNT_CERTIFICATE_ENDS, key)[0][0]
        rows = self._run(CERTIFICATE_ENDS, {**key, **page_bounds(options)})
        found = [_end_of(row) for row in rows]
        return page_of(found, total, options.limit, lambda end: (end.expires, end.name))

    def certificate_end(self, namespace: str, name: str) -> CertificateEnd | None:
        """The same of one node, whenever it ends."""
        rows = self._run(CERTIFICATE_END, {"namespace": namespace, "name": name})
        return _end_of(rows[0]) if rows else None

    def count_certificate_ends(self, bounds: Sequence[datetime | None]) -> Sequence[int]:
        """How many nodes, of all namespaces, have their last certificate end by each of *bounds*.

        None is no bound.
        """
        ends = (ALL if bound is None else micros(bound) for bound in bounds)
        return [self._run(COUNT_ALL_CERTIFICATE_ENDS, {"before": end})[0][0] for end in ends]

    def count_ends_in(self, namespace: str, bounds: Sequence[datetime]) -> Sequence[int]:
        """How many nodes have their last certificate end before each of *bounds*."""
        counts = []
        for bound in bounds:
            where: Parameters = {"namespace": namespace, "before": micros(bound)}
            counts.append(int(self._run(COUNT_CERTIFICATE_ENDS, where)[0][0]))
        return counts

    def take_ends(self, now: datetime, before: datetime, limit: int) -> Sequence[CertificateEnd]:
        """Last certificates of nodes that end from *now* to *before*; each is taken once."""
        self._run(FORGET_ENDS, {"now": micros(now)})
        bounds: Parameters = {"now": micros(now), "before": micros(before), "limit": limit}
        found = self._run(NEXT_ENDS, bounds)
        for _, _, serial, expires in found:
            self._run(RECORD_END, {"serial": serial, "expires": expires})
        return [CertificateEnd(row[0], row[1], int(row[2]), moment(row[3])) for row in found]

    def revocation_state(self) -> RevocationState:
        changes, number, issued = self._run(REVOCATION_STATE, NOTHING)[0]
        return RevocationState(changes, number, moment(issued))

    def put_revocation_state(self, state: RevocationState) -> None:
        """Record *state*, but for its changes, which are counted here."""
        row: Parameters = {"number": state.number, "issued": micros(state.issued)}
        self._run(PUT_REVOCATION_STATE, row)


def _certificate_of(row: Row) -> NodeCertificate:
    """The certificate of a row of `CERTIFICATE`."""
    serial, node_id, created, expires, revoked, key = row
    return NodeCertificate(
        int(serial), node_id, moment(created), moment(expires), moment_or_none(revoked), key
    )


def _certificate_row(certificate: NodeCertificate) -> Parameters:
    """Parameters of `PUT_CERTIFICATE`; a serial number has more digits than a number may."""
    return {
        "serial": str(certificate.serial),
        "node_id": certificate.node_id,
        "created": micros(certificate.created),
        "expires": micros(certificate.expires),
        "revoked": micros_or_none(certificate.revoked),
        "key": certificate.key,
    }


def _end_of(row: Any) -> CertificateEnd:
    return CertificateEnd(row[0], row[1], int(row[2]), moment(row[3]))


def _place(node_id: str) -> Parameters:
    namespace, _, name = node_id.partition(".")
    return {"namespace": namespace, "name": name}
