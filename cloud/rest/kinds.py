"""The kinds that the server knows: the handler, and its row of the route table.

The dashboard makes its lists and pages from it.
"""

from collections.abc import Sequence

from cloud.answers.common import Listed
from cloud.answers.kinds import ColumnAnswer, KindAnswer
from cloud.core.kind import ResourceKind
from cloud.core.kinds import KINDS
from cloud.core.tokens import Role
from cloud.rest.context import RequestContext
from cloud.rest.described import Described
from cloud.rest.route import OPEN, ApiRoute


async def list_kinds(_: RequestContext) -> Listed[KindAnswer]:
    """`GET /v1/kinds`: all of them, in the order in which things are made."""
    kinds = [_answer(kind) for kind in KINDS]
    return Listed(len(kinds), None, kinds)


def _answer(kind: ResourceKind) -> KindAnswer:
    return KindAnswer(
        name=kind.name,
        singular=kind.word,
        plural=kind.plural,
        log_name=kind.logged_as,
        path=kind.path,
        parent=kind.parent,
        summary=kind.summary,
        example=kind.example,
        columns=[
            ColumnAnswer(column.title, column.path, column.form, column.is_wide)
            for column in kind.table
        ],
        read_only=sorted(kind.read_only),
        read_role=Role(kind.read_role),
        change_role=Role(kind.change_role),
        labels=kind.has_labels,
        revisions=kind.has_revisions,
        events=kind.has_events,
        numbered=kind.is_numbered,
        single=kind.is_single,
        used_by_apps=kind.is_used_by_apps,
        read_logged=kind.is_read_logged,
    )


KIND_ROUTES: Sequence[ApiRoute] = (
    ApiRoute(
        "GET",
        "/v1/kinds",
        list_kinds,
        Described("Kinds of resources", Listed[KindAnswer]),
        needs=OPEN,
    ),
)
