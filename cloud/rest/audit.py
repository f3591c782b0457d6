"""Handlers: the audit log."""

from datetime import datetime
from typing import Any

import msgspec

from cloud.core.audit import AuditFilter, ChainedEntry, kind_of
from cloud.core.decoding import convert
from cloud.core.times import precise_time_text
from cloud.core.tokens import EVERYWHERE
from cloud.errors import Invalid
from cloud.operations.audit import list_entries
from cloud.operations.tokens import check_token_namespace
from cloud.rest.auth import caller_of
from cloud.rest.call import Call
from cloud.rest.views import View


async def list_audit(call: Call) -> View:
    """`GET /v1/audit`, newest first; `?namespace=*` shows what was done in any, or in none.

    How far the log goes is shown to who may see all of it.
    """
    wanted, options = _filter(call), call.list_options()
    found = await call.store.read(
        lambda tx: list_entries(tx, wanted, limit=options.limit, after=options.after)
    )
    everything = caller_of(call.request).namespace == EVERYWHERE
    head = {"number": found.head.number, "code": found.head.code} if everything else None
    return {**call.list_view(found.page, options, _view), "head": head}


def _filter(call: Call) -> AuditFilter:
    namespace = check_token_namespace("namespace", call.query("namespace") or call.namespace)
    caller_of(call.request).check_namespace(namespace)
    return AuditFilter(
        namespace,
        actor=call.query("actor"),
        action=call.query("action"),
        kind=call.query("kind"),
        name=call.query("name"),
        request_id=call.query("requestId"),
        since=_moment(call, "since"),
        until=_moment(call, "until"),
    )


def _moment(call: Call, parameter: str) -> datetime | None:
    text = call.query(parameter)
    if not text:
        return None
    moment = convert(text, datetime, under=parameter)
    if moment.tzinfo is None:
        raise Invalid(parameter, "says no time zone")
    return moment


def _view(link: ChainedEntry) -> View:
    """An entry; what it holds of JSON is shown as such."""
    entry, attempt = link.entry, link.entry.attempt
    actor = attempt.actor
    return {
        "number": link.number,
        "time": precise_time_text(attempt.time),
        "actor": {"kind": actor.kind, "name": actor.name, "namespace": actor.namespace},
        "action": attempt.action,
        "kind": kind_of(attempt.action),
        "namespace": attempt.namespace,
        "name": attempt.name,
        "address": attempt.address,
        "requestId": attempt.request_id,
        "reason": attempt.reason,
        "outcome": entry.outcome,
        "before": _shown(entry.before),
        "after": _shown(entry.after),
        "also": _shown(entry.also),
    }


def _shown(text: str) -> Any:
    return msgspec.json.decode(text) if text else None
