"""Handlers: certificates of nodes."""

from datetime import datetime
from typing import Annotated

import msgspec

from cloud.core.decoding import convert
from cloud.core.expiry import RENEWAL_DUE
from cloud.operations.expiry import ending_of, list_ending
from cloud.rest.call import Call
from cloud.rest.views import View, certificate_view


class _Ends(msgspec.Struct, rename="camel"):
    ends_before: Annotated[datetime, msgspec.Meta(tz=True)]


async def list_certificates(call: Call) -> View:
    """`GET /v1/certificates`: by default those of nodes that should have renewed by now.

    `?node=` has the one of that node, whenever it ends.
    """
    asked = call.query("endsBefore")
    before = convert({"endsBefore": asked}, _Ends).ends_before if asked else call.now + RENEWAL_DUE
    options = call.list_options()
    node = call.query("node")
    page = await call.store.read(
        lambda tx: (
            ending_of(tx, call.namespace, node)
            if node
            else list_ending(tx, call.namespace, before, options)
        )
    )
    return call.list_view(page, options, lambda ending: certificate_view(ending, call.now))
