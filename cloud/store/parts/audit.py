"""The audit log: one chain, in the order of the commits.

Its head is one row, which every appending transaction changes: where several may write at a time
they wait for each other there, from the append to the commit. It is the last thing they do.
"""
# ruff: noqa: D102  # `interface` says what each method promises

from collections.abc import Sequence
from datetime import datetime

from cloud.core.audit import Anchor, AuditFilter, Chain, Entry, Head, Link
from cloud.core.tokens import EVERYWHERE
from cloud.errors import NotFound
from cloud.store import sql
from cloud.store.parts.part import NOTHING, Part, first
from cloud.store.rows import Parameters, link_of, link_row, micros


class AuditPart(Part):
    """Entries of the log."""

    # The key of the log.
    _chain: Chain
    # How far the log goes once this transaction is committed; None: it appended nothing.
    appended: Head | None = None

    def append_audit(self, entry: Entry) -> Link:
        number, code = self._run(sql.NEXT_AUDIT_NUMBER, NOTHING)[0]
        link = self._chain.link(Head(number - 1, code), entry)
        self._run(sql.PUT_AUDIT_ENTRY, link_row(link))
        self._run(sql.PUT_AUDIT_HEAD, {"code": link.code})
        self.appended = link.head
        return link

    def audit_head(self) -> Head:
        number, code, *_ = self._run(sql.AUDIT_HEAD, NOTHING)[0]
        return Head(number, code)

    def audit_anchor(self) -> Anchor:
        _, _, gone, gone_code, seal = self._run(sql.AUDIT_HEAD, NOTHING)[0]
        return Anchor(Head(gone, gone_code), seal)

    def audit_link(self, number: int) -> Link | None:
        return first(link_of, self._run(sql.AUDIT_LINK, {"number": number}))

    def audit_links(self, wanted: AuditFilter, *, below: int, limit: int) -> Sequence[Link]:
        where, parameters = _conditions(wanted)
        statement = sql.AUDIT_LINKS + where + sql.AUDIT_NEWEST_FIRST
        page: Parameters = {"below": below, "limit": limit}
        return [link_of(row) for row in self._run(statement, {**parameters, **page})]

    def count_audit(self, wanted: AuditFilter) -> int:
        where, parameters = _conditions(wanted)
        count: int = self._run(sql.COUNT_AUDIT_ENTRIES + where, parameters)[0][0]
        return count

    def first_audit_since(self, since: datetime) -> int:
        found = self._run(sql.FIRST_AUDIT_ENTRY_SINCE, {"since": micros(since)})
        number: int = found[0][0] if found else self.audit_head().number + 1
        return number

    def prune_audit(self, number: int) -> None:
        last = self.audit_link(number)
        if last is None:
            raise NotFound("audit entry", str(number))
        self._anchor(self._chain.anchor(last.head))
        self._run(sql.DELETE_AUDIT_ENTRIES, {"gone": number})

    def begin_audit(self) -> None:
        """Say, with the key, that an empty log begins at its beginning; once for a database."""
        if not self.audit_anchor().seal and self.audit_head() == Head():
            self._anchor(self._chain.anchor(Head()))

    def _anchor(self, anchor: Anchor) -> None:
        row: Parameters = {
            "gone": anchor.head.number,
            "gone_code": anchor.head.code,
            "seal": anchor.seal,
        }
        self._run(sql.PUT_AUDIT_ANCHOR, row)


def _conditions(wanted: AuditFilter) -> tuple[str, Parameters]:
    """What follows `WHERE ...`: constant fragments, and what was asked as parameters alone."""
    conditions: list[tuple[str, Parameters]] = []
    if wanted.namespace != EVERYWHERE:
        conditions.append((sql.AUDIT_OF_NAMESPACE, {"namespace": wanted.namespace}))
    if wanted.actor:
        conditions.append((sql.AUDIT_OF_ACTOR, {"actor": wanted.actor}))
    if wanted.action:
        conditions.append((sql.AUDIT_OF_ACTION, {"action": wanted.action}))
    if wanted.kind:
        # "/" follows "."
        kind = {"kind_from": f"{wanted.kind}.", "kind_to": f"{wanted.kind}/"}
        conditions.append((sql.AUDIT_OF_KIND, kind))
    if wanted.name:
        conditions.append((sql.AUDIT_OF_NAME, {"name": wanted.name}))
    if wanted.request_id:
        conditions.append((sql.AUDIT_OF_REQUEST, {"request_id": wanted.request_id}))
    if wanted.since is not None:
        conditions.append((sql.AUDIT_SINCE, {"since": micros(wanted.since)}))
    if wanted.until is not None:
        conditions.append((sql.AUDIT_UNTIL, {"until": micros(wanted.until)}))
    parameters: dict[str, str | int | None] = {}
    for _, own in conditions:
        parameters.update(own)
    return "".join(condition for condition, _ in conditions), parameters
