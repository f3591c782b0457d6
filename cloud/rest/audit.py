"""The audit log: handlers, and rows of the route table."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from cloud.answers.audit import AuditAnswer, EntryAnswer, HeadAnswer
from cloud.core.audit import AuditFilter, ChainedEntry, kind_of
from cloud.core.decoding import convert
from cloud.core.permissions import Permission
from cloud.core.times import precise_time_text
from cloud.core.tokens import EVERYWHERE
from cloud.errors import Invalid
from cloud.operations.audit import list_entries
from cloud.operations.tokens import check_token_namespace
from cloud.rest.answers import actor_answer
from cloud.rest.auth import caller_of
from cloud.rest.context import RequestContext
from cloud.rest.described import AUDITED, Described
from cloud.rest.route import ApiRoute

LIST_AUDIT = Permission("list", "audit", "")


async def list_audit(context: RequestContext) -> AuditAnswer:
    """`GET /v1/audit`, newest first; `?namespace=*` shows what was done in any, or in none.

    How far the log goes is shown to who may see all of it.
    """
    wanted, options = _filter(context), context.list_options()
    found = await context.store.read(
        lambda tx: list_entries(tx, wanted, limit=options.limit, after=options.after)
    )
    everything = caller_of(context.request).may(LIST_AUDIT, EVERYWHERE)
    head = HeadAnswer(found.head.number, found.head.code) if everything else None
    page = context.listed(found.page, options, _answer)
    return AuditAnswer(page.total, page.list_options, page.items, head)


def _filter(context: RequestContext) -> AuditFilter:
    namespace = check_token_namespace("namespace", context.query("namespace") or context.namespace)
    caller_of(context.request).check(LIST_AUDIT, namespace)
    return AuditFilter(
        namespace,
        actor=context.query("actor"),
        action=context.query("action"),
        kind=context.query("kind"),
        name=context.query("name"),
        request_id=context.query("requestId"),
        since=_moment(context, "since"),
        until=_moment(context, "until"),
    )


def _moment(context: RequestContext, parameter: str) -> datetime | None:
    text = context.query(parameter)
    if not text:
        return None
    moment = convert(text, datetime, under=parameter)
    if moment.tzinfo is None:
        raise Invalid(parameter, "has no time zone")
    return moment


def _answer(link: ChainedEntry) -> EntryAnswer:
    """An entry; what it holds of JSON is shown as such."""
    entry, attempt = link.entry, link.entry.attempt
    return EntryAnswer(
        number=link.number,
        time=precise_time_text(attempt.time),
        actor=actor_answer(attempt.actor),
        action=attempt.action,
        kind=kind_of(attempt.action),
        namespace=attempt.namespace,
        name=attempt.name,
        address=attempt.address,
        request_id=attempt.request_id,
        reason=attempt.reason,
        outcome=entry.outcome,
        before=_shown(entry.before),
        after=_shown(entry.after),
        also=_shown(entry.also),
    )


def _shown(text: str) -> Any:
    return msgspec.json.decode(text) if text else None


AUDIT_ROUTES: Sequence[ApiRoute] = (
    ApiRoute(
        "GET",
        "/v1/audit",
        list_audit,
        Described("Who did what", AuditAnswer, query=AUDITED, refusals=(410,)),
        needs="list audit",
    ),
)
