"""Answers to changes: who may change a thing and not read it is shown no secret of it."""

from dataclasses import replace

import msgspec

from cloud.answers.common import Answer
from cloud.core.kinds import ResourceKind
from cloud.core.mask import hide, masked
from cloud.core.permissions import Permission
from cloud.rest.auth import caller_of
from cloud.rest.context import RequestContext, ResourceResponse


def answer_to_change(
    context: RequestContext, kind: ResourceKind, shown: ResourceResponse[Answer]
) -> ResourceResponse[Answer]:
    """*shown* as the answer to a change; its secrets are masked without permission to read it."""
    if not kind.hidden:
        return shown
    needed = Permission("read", kind.plural, shown.resource.name)
    if caller_of(context.request).may(needed, context.namespace):
        return shown
    content = hide(msgspec.to_builtins(shown.answer), kind.hidden)
    return replace(shown, fields=masked(content))
