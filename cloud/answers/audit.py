"""Answers: the audit log."""

from typing import Annotated, Any

import msgspec

from cloud.answers.common import ActorAnswer, Answer, ListOptionsAnswer
from cloud.core.audit import actions


class EntryAnswer(Answer):
    """One entry of the audit log.

    `outcome` is `done`, or the code of the refusal. `before` and `after` hold what differs, secret
    values masked; `also` counts what else was changed by the way.
    """

    number: int
    time: str
    actor: ActorAnswer
    action: Annotated[str, msgspec.Meta(extra_json_schema={"enum": sorted(actions())})]
    kind: str
    namespace: str
    name: str
    address: str
    request_id: str
    reason: str
    outcome: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    also: dict[str, int | str] | None


class HeadAnswer(Answer):
    """Where the audit log ends; stored elsewhere it shows what is cut off later."""

    number: int
    code: str


class AuditAnswer(Answer):
    """One page of the audit log, newest first; `total` counts all pages.

    `head` is for who may see every namespace.
    """

    total: int
    list_options: ListOptionsAnswer | None
    items: list[EntryAnswer]
    head: HeadAnswer | None
