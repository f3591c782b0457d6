"""The audit log: one chain, in the order of the commits.

Its head is one row, which every appending transaction changes: where several may write at a time
they wait for each other there, from the append to the commit. It is the last thing they do.
"""

from collections.abc import Sequence
from datetime import datetime

from cloud.core.audit import Actor, Anchor, Attempt, AuditFilter, Chain, ChainedEntry, Entry, Head
from cloud.core.tokens import EVERYWHERE
from cloud.errors import NotFound, Unavailable
from cloud.store.parts.part import NOTHING, TransactionPart, first
from cloud.store.rows import Parameters, Row, micros, moment
from cloud.store.statements import Fragment, fragment, joined, statement

NEXT_AUDIT_NUMBER = statement(
    "UPDATE audit_head SET number = number + 1 WHERE id = 1 RETURNING number, code",
    writes={"audit_head"},
)
PUT_AUDIT_ENTRY = statement(
    """
    INSERT INTO audit_entry (number, time, actor_kind, actor_name, actor_namespace, action,
        namespace,
        name, address, request_id, reason, outcome, before, after, also, code)
    VALUES (:number, :time, :actor_kind, :actor_name, :actor_namespace, :action, :namespace,
        :name, :address, :request_id, :reason, :outcome, :before, :after, :also, :code)
    """,
    reads={"audit_head"},
    writes={"audit_entry"},
)
PUT_AUDIT_HEAD = statement(
    "UPDATE audit_head SET number = :number, code = :code WHERE id = 1",
    writes={"audit_head"},
)
AUDIT_HEAD = statement(
    "SELECT number, code, gone, gone_code, seal FROM audit_head WHERE id = 1",
    reads={"audit_head"},
)
PUT_AUDIT_ANCHOR = statement(
    """
    UPDATE audit_head SET gone = :gone, gone_code = :gone_code, seal = :seal WHERE id = 1
    """,
    writes={"audit_head"},
)
DELETE_AUDIT_ENTRIES = statement(
    "DELETE FROM audit_entry WHERE number <= :gone",
    reads={"audit_head"},
    writes={"audit_entry"},
)
AUDIT_LINK = statement(
    """
    SELECT number, time, actor_kind, actor_name, actor_namespace, action, namespace, name, address,
        request_id, reason, outcome, before, after, also, code
            FROM audit_entry WHERE number = :number
    """,
    reads={"audit_entry"},
)
AUDIT_LINKS_IN_ORDER = statement(
    """
    SELECT number, time, actor_kind, actor_name, actor_namespace, action, namespace, name, address,
        request_id, reason, outcome, before, after, also, code FROM audit_entry ORDER BY number
    """,
    reads={"audit_entry"},
)
FIRST_AUDIT_ENTRY_SINCE = statement(
    """
    SELECT number FROM audit_entry WHERE time >= :since ORDER BY number LIMIT 1
    """,
    reads={"audit_entry"},
)

# fragments of statements that filter: a beginning, conditions, an end
AUDIT_LINKS = fragment(
    """
SELECT number, time, actor_kind, actor_name, actor_namespace, action, namespace, name, address,
    request_id, reason, outcome, before, after, also, code FROM audit_entry WHERE number < :below
""",
    reads={"audit_entry"},
)
COUNT_AUDIT_ENTRIES = fragment(
    "SELECT count(*) FROM audit_entry WHERE number > 0",
    reads={"audit_entry"},
)
OF_NAMESPACE = fragment(" AND namespace = :namespace")
OF_ACTOR = fragment(" AND (actor_name = :actor OR actor_kind = :actor)")
OF_ACTION = fragment(" AND action = :action")
OF_KIND = fragment(" AND action > :kind_from AND action < :kind_to")
OF_NAME = fragment(" AND name = :name")
OF_REQUEST = fragment(" AND request_id = :request_id")
SINCE = fragment(" AND time >= :since")
UNTIL = fragment(" AND time < :until")
NEWEST_FIRST = fragment(" ORDER BY number DESC LIMIT :limit")


class AuditPart(TransactionPart):
    """Entries of the log."""

    # The key of the log.
    _chain: Chain
    # How far the log goes once this transaction is committed; None: it appended nothing.
    appended: Head | None = None

    def append_audit(self, entry: Entry) -> ChainedEntry:
        """Put *entry* at the end of the log; the last thing a transaction does."""
        if (last := self.appended) is None:
            number, code = self._run(NEXT_AUDIT_NUMBER, NOTHING)[0]
            last = Head(number - 1, code)
        link = self._chain.link(last, entry)
        # First: an entry has to have the number of the last one.
        self._run(PUT_AUDIT_HEAD, {"number": link.number, "code": link.code})
        self._run(PUT_AUDIT_ENTRY, _link_row(link))
        self.appended = link.head
        return link

    def audit_head(self) -> Head:
        number, code, *_ = self._run(AUDIT_HEAD, NOTHING)[0]
        return Head(number, code)

    def audit_anchor(self) -> Anchor:
        _, _, gone, gone_code, seal = self._run(AUDIT_HEAD, NOTHING)[0]
        return Anchor(Head(gone, gone_code), seal)

    def audit_link(self, number: int) -> ChainedEntry | None:
        return first(link_of, self._run(AUDIT_LINK, {"number": number}))

    def audit_links(self, wanted: AuditFilter, *, below: int, limit: int) -> Sequence[ChainedEntry]:
        """Up to *limit* entries with a number *below* that, newest first."""
        where, parameters = _conditions(wanted)
        page: Parameters = {"below": below, "limit": limit}
        found = self._run(joined(AUDIT_LINKS, *where, NEWEST_FIRST), {**parameters, **page})
        return [link_of(row) for row in found]

    def count_audit(self, wanted: AuditFilter) -> int:
        where, parameters = _conditions(wanted)
        count: int = self._run(joined(COUNT_AUDIT_ENTRIES, *where), parameters)[0][0]
        return count

    def first_audit_since(self, since: datetime) -> int:
        """Number of the first entry that is not older; past the end where all are."""
        found = self._run(FIRST_AUDIT_ENTRY_SINCE, {"since": micros(since)})
        number: int = found[0][0] if found else self.audit_head().number + 1
        return number

    def prune_audit(self, number: int) -> None:
        """Forget all entries up to that *number*, which has to be there; the log begins after."""
        last = self.audit_link(number)
        if last is None:
            raise NotFound("audit entry", str(number))
        self._anchor(self._chain.anchor(last.head))
        self._run(DELETE_AUDIT_ENTRIES, {"gone": number})

    def begin_audit(self) -> None:
        """Anchor an empty log at its beginning; once for a database."""
        if not self.audit_anchor().seal and self.audit_head() == Head():
            self._anchor(self._chain.anchor(Head()))

    def check_audit_key(self, *, is_new: bool) -> None:
        """Unavailable if the log was begun with another key; one that *is_new* takes its place."""
        anchor = self.audit_anchor()
        known = self._chain.anchor(anchor.head)
        if is_new:
            self._anchor(known)
        elif anchor.seal and anchor != known:
            raise Unavailable(
                "audit.key is not the key of this database's audit log, or where the log begins was"
                " changed; bring the key back from a backup, or from another server on the same"
                " database"
            )

    def _anchor(self, anchor: Anchor) -> None:
        row: Parameters = {
            "gone": anchor.head.number,
            "gone_code": anchor.head.code,
            "seal": anchor.seal,
        }
        self._run(PUT_AUDIT_ANCHOR, row)


def link_of(row: Row) -> ChainedEntry:
    """The entry of a row of `AUDIT_LINK`, in its place."""
    number, time, kind, actor, own, action, namespace, name, address, request, reason, *rest = row
    outcome, before, after, also, code = rest
    attempt = Attempt(
        Actor(kind, actor, own),
        action,
        moment(time),
        namespace,
        name,
        address,
        request,
        reason,
    )
    return ChainedEntry(number, Entry(attempt, outcome, before, after, also), code)


def _link_row(link: ChainedEntry) -> Parameters:
    """Parameters of `PUT_AUDIT_ENTRY`."""
    entry, attempt = link.entry, link.entry.attempt
    return {
        "number": link.number,
        "time": micros(attempt.time),
        "actor_kind": attempt.actor.kind,
        "actor_name": attempt.actor.name,
        "actor_namespace": attempt.actor.namespace,
        "action": attempt.action,
        "namespace": attempt.namespace,
        "name": attempt.name,
        "address": attempt.address,
        "request_id": attempt.request_id,
        "reason": attempt.reason,
        "outcome": entry.outcome,
        "before": entry.before,
        "after": entry.after,
        "also": entry.also,
        "code": link.code,
    }


def _conditions(wanted: AuditFilter) -> tuple[Sequence[Fragment], Parameters]:
    """Conditions to append to a `WHERE`: constant fragments, and their parameters."""
    conditions: list[tuple[Fragment, Parameters]] = []
    if wanted.namespace != EVERYWHERE:
        conditions.append((OF_NAMESPACE, {"namespace": wanted.namespace}))
    if wanted.actor:
        conditions.append((OF_ACTOR, {"actor": wanted.actor}))
    if wanted.action:
        conditions.append((OF_ACTION, {"action": wanted.action}))
    if wanted.kind:
        # "/" follows "."
        kind = {"kind_from": f"{wanted.kind}.", "kind_to": f"{wanted.kind}/"}
        conditions.append((OF_KIND, kind))
    if wanted.name:
        conditions.append((OF_NAME, {"name": wanted.name}))
    if wanted.request_id:
        conditions.append((OF_REQUEST, {"request_id": wanted.request_id}))
    if wanted.since is not None:
        conditions.append((SINCE, {"since": micros(wanted.since)}))
    if wanted.until is not None:
        conditions.append((UNTIL, {"until": micros(wanted.until)}))
    parameters: dict[str, str | int | None] = {}
    for _, own in conditions:
        parameters.update(own)
    return [condition for condition, _ in conditions], parameters
