"""Groups of events that notifications are about."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec

from cloud.core.notification_groups import Group
from cloud.store.parts.part import NOTHING, TransactionPart
from cloud.store.rows import Parameters, document, json_text, micros, moment_or_none
from cloud.store.statements import statement

PUT_GROUP = statement(
    """
    INSERT INTO notification_group (namespace, rule, key, due, document)
    VALUES (:namespace, :rule, :key, :due, :document)
    ON CONFLICT (namespace, rule, key) DO UPDATE SET
        due = excluded.due, document = excluded.document
    """,
    writes={"notification_group"},
)
GROUPS_OF_RULE = statement(
    """
    SELECT key, document FROM notification_group
    WHERE namespace = :namespace AND rule = :rule
        AND key IN (SELECT given.value FROM {elements[keys]})
    """,
    reads={"notification_group"},
)
COUNT_GROUPS = statement(
    "SELECT count(*) FROM notification_group WHERE namespace = :namespace AND rule = :rule",
    reads={"notification_group"},
)
NEXT_GROUP = statement("SELECT min(due) FROM notification_group", reads={"notification_group"})
TAKE_DUE_GROUPS = statement(
    """
    DELETE FROM notification_group WHERE (namespace, rule, key) IN (
        SELECT namespace, rule, key FROM notification_group WHERE due <= :now
        ORDER BY due, namespace, rule, key LIMIT :limit
    ) RETURNING namespace, rule, key, document
    """,
    writes={"notification_group"},
)
_GROUP = msgspec.json.Decoder(Group)


class NotificationGroupPart(TransactionPart):
    """Groups of events of rules."""

    def put_notification_group(self, namespace: str, rule: str, key: str, group: Group) -> None:
        row: Parameters = {
            "namespace": namespace,
            "rule": rule,
            "key": key,
            "due": micros(group.due),
            "document": document(group),
        }
        self._run(PUT_GROUP, row)

    def notification_groups(
        self, namespace: str, rule: str, keys: Sequence[str]
    ) -> Mapping[str, Group]:
        """Those of *keys* that are known."""
        of_rule: Parameters = {"namespace": namespace, "rule": rule, "keys": json_text(keys)}
        return {key: _GROUP.decode(text) for key, text in self._run(GROUPS_OF_RULE, of_rule)}

    def count_notification_groups(self, namespace: str, rule: str) -> int:
        """How many groups the rule has."""
        count: int = self._run(COUNT_GROUPS, {"namespace": namespace, "rule": rule})[0][0]
        return count

    def next_notification(self) -> datetime | None:
        """When the next group is due; None if there is none."""
        (due,) = self._run(NEXT_GROUP, NOTHING)[0]
        return moment_or_none(due)

    def take_due_groups(self, now: datetime, limit: int) -> Sequence[tuple[str, str, str, Group]]:
        """Forget up to *limit* groups due at *now*; namespace, rule and key of each."""
        found = self._run(TAKE_DUE_GROUPS, {"now": micros(now), "limit": limit})
        taken = [(row[0], row[1], row[2], _GROUP.decode(row[3])) for row in found]
        return sorted(taken, key=lambda each: (each[3].due, each[:3]))
