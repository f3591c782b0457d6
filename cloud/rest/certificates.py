"""Certificates of nodes: handlers, and rows of the route table."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import msgspec

from cloud.answers.certificates import CertificateAnswer
from cloud.answers.common import Listed
from cloud.core.decoding import convert
from cloud.core.expiry import RENEWAL_DUE
from cloud.core.readiness import node_status
from cloud.core.times import time_text
from cloud.errors import Forbidden
from cloud.operations.expiry import EndingNode, ending_of, list_ending
from cloud.rest.answers import time_or_none
from cloud.rest.context import RequestContext
from cloud.rest.described import ENDING, Described
from cloud.rest.node_limit import NodeLimit
from cloud.rest.route import ApiRoute


class _Ends(msgspec.Struct, rename="camel"):
    ends_before: Annotated[datetime, msgspec.Meta(tz=True)]


async def list_certificates(context: RequestContext) -> Listed[CertificateAnswer]:
    """`GET /v1/certificates`: by default those of nodes that should have renewed by now.

    `?node=` has the one of that node, whenever it ends.
    """
    asked = context.query("endsBefore")
    before = (
        convert({"endsBefore": asked}, _Ends).ends_before if asked else context.now + RENEWAL_DUE
    )
    options = context.list_options()
    node = context.query("node")
    if context.nodes and not node:
        raise Forbidden(f"your role is for the nodes {context.nodes} alone: ask for one by node=")
    page = await context.store.read(
        lambda tx: (
            ending_of(tx, context.namespace, node, within=context.nodes)
            if node
            else list_ending(tx, context.namespace, before, options)
        )
    )
    return context.listed(page, options, lambda ending: _answer(ending, context.now))


def _answer(ending: EndingNode, now: datetime) -> CertificateAnswer:
    """A node and the end of its last certificate; the serial number as `openssl` shows it."""
    node, heard = ending.seen.node, ending.seen.heard
    return CertificateAnswer(
        node=node.name,
        namespace=node.namespace,
        serial=f"{ending.end.serial:X}",
        not_after=time_text(ending.end.expires),
        last_seen=time_or_none(heard.last if heard else None),
        ready=node_status(heard, now, is_revoked=ending.seen.is_revoked).is_ready,
    )


CERTIFICATE_ROUTES: Sequence[ApiRoute] = (
    ApiRoute(
        "GET",
        "/v1/certificates",
        list_certificates,
        Described(
            "List certificates of nodes that end",
            Listed[CertificateAnswer],
            query=ENDING,
            refusals=(404,),
        ),
        needs="list certificates",
        limit=NodeLimit.SELECTED,
    ),
)
