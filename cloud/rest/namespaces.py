"""Namespaces: the handler, and its row of the route table."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from cloud.answers.common import Listed
from cloud.answers.namespaces import NamespaceAnswer
from cloud.core.listing import Page
from cloud.core.namespace import NamespaceCounts
from cloud.core.permissions import Permission
from cloud.operations import namespaces
from cloud.rest.auth import caller_of
from cloud.rest.context import RequestContext
from cloud.rest.described import PAGED, Described
from cloud.rest.overview import node_counts
from cloud.rest.route import ApiRoute

_NEEDED = Permission("list", "namespaces", "")
_NO_TIME = datetime(1, 1, 1, tzinfo=UTC)


async def list_namespaces(context: RequestContext) -> Listed[NamespaceAnswer]:
    """`GET /v1/namespaces`: those that the caller may list, by name."""
    options, caller = context.list_options(), caller_of(context.request)
    own = frozenset(place for place in caller.grants if caller.may(_NEEDED, place))
    default = context.api.default_namespace
    # A look at every node: in a large fleet it is cached for a while.
    found = await context.api.counts.count(
        ("namespaces", own),
        context.store,
        lambda tx, now: namespaces.list_namespaces(tx, own, default, now=now),
    )
    after = options.after[1] if options.after else ""
    return context.listed(_page(found, after, options.limit), options, lambda one: _answer(*one))


def _page(
    found: Mapping[str, NamespaceCounts], after: str, limit: int
) -> Page[tuple[str, NamespaceCounts]]:
    rest = [item for item in found.items() if item[0] > after]
    shown = rest[:limit]
    end = (_NO_TIME, shown[-1][0]) if len(shown) < len(rest) else None
    return Page(shown, len(found), end)


def _answer(name: str, counts: NamespaceCounts) -> NamespaceAnswer:
    return NamespaceAnswer(name, node_counts(counts.nodes), counts.apps, counts.batches)


NAMESPACE_ROUTES: Sequence[ApiRoute] = (
    ApiRoute(
        "GET",
        "/v1/namespaces",
        list_namespaces,
        Described("List namespaces", Listed[NamespaceAnswer], query=PAGED),
        needs=str(_NEEDED),
    ),
)
