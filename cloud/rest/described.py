"""The description of a route, for the OpenAPI document and its readers."""

from dataclasses import dataclass
from enum import Enum
from typing import Any

import msgspec

from cloud.answers.common import DoneAnswer
from cloud.core.listing import LIST_LIMIT


class Name(Enum):
    """The `name` in a body: the caller's to choose, or also the server's, or that of the path."""

    REQUIRED = "required"
    OPTIONAL = "optional"
    IGNORED = "ignored"


@dataclass(frozen=True, slots=True)
class Body:
    """A request's body: what its handler decodes.

    A patch is a JSON merge patch of it: null takes a field away; elsewhere null stands for a field
    that is left out. A body that *may_lack* need not be sent. With a *name* it may also hold what
    the answer shows and the caller cannot set; that is ignored. Fields in *required* have a default
    in *kind*, and are asked for all the same: what they hold is not to be emptied unnoticed.
    """

    kind: type[msgspec.Struct]
    name: Name | None = None
    is_patch: bool = False
    may_lack: bool = False
    required: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Parameter:
    """A query parameter; *limit* makes a number of it, *is_flag* true or false."""

    name: str
    summary: str
    limit: int | None = None
    is_flag: bool = False


@dataclass(frozen=True, slots=True)
class Described:
    """The description of a route for people; *answer* None is a file of lines.

    *stream* is the media type under which the same can be followed.
    """

    summary: str
    answer: Any = DoneAnswer
    body: Body | None = None
    query: tuple[Parameter, ...] = ()
    refusals: tuple[int, ...] = ()
    stream: str = ""

    def parameters(self, *, changes: bool) -> tuple[Parameter, ...]:
        """All that the query may hold; a call that *changes* something also takes `dryRun`."""
        return (*self.query, *DRY_RUN_QUERY) if changes else self.query


NUMBER_LIMIT = 999_999_999
"""Largest number that a query may hold."""

DRY_RUN = "dryRun"
"""Parameter of calls that change something: return what would change (dry run)."""

CONFIRM = "confirm"
"""Parameter of the same: confirms the number of affected nodes."""

DRY_RUN_QUERY = (
    Parameter(
        DRY_RUN,
        "true: dry run: return what would change, and on which nodes",
        is_flag=True,
    ),
    Parameter(
        CONFIRM,
        "true: go on although it touches more nodes than the guard lets through",
        is_flag=True,
    ),
)
ROLLOUT_START = "rolloutStart"
"""Parameter of changes of apps and of what they use: when the rollout begins."""

ROLLOUT_NOW = "rolloutNow"
"""Parameter of the same: an emergency."""

ROLLOUT_QUERY = (
    Parameter(ROLLOUT_START, "RFC 3339; when the rollouts begin that this change causes"),
    Parameter(
        ROLLOUT_NOW,
        "true: an emergency: these rollouts skip soak times and windows",
        is_flag=True,
    ),
)

SPEC_ONLY = "specOnly"
"""Parameter of reads of one resource: leave out read-only fields and defaults."""

SPEC_ONLY_QUERY = (
    Parameter(
        SPEC_ONLY,
        "true: only what an operator sets and is not the default, as PUT and manifests take it",
        is_flag=True,
    ),
)
CONTINUE = Parameter("continue", "where the page before ended: the token that it gave")
PAGED = (
    Parameter(
        "limit", f"items on a page; {LIST_LIMIT:,} at most, also where it is 0", NUMBER_LIMIT
    ),
    CONTINUE,
)
LISTED = (
    Parameter("selector", "labels that what is listed has to have, as in Kubernetes"),
    Parameter(
        "fieldSelector",
        "metadata.name or metadata.namespace, with =, !=, in or notin; * is any text in a name",
    ),
    *PAGED,
)
NODES_LISTED = (
    LISTED[0],
    Parameter(
        "fieldSelector",
        "as `status.state=offline,status.apps.web=failed`: fields of metadata, and of a node's"
        " status: state, deploy, apps.NAME, versions.NAME, agent, certificate.expires",
    ),
    *PAGED,
)
NUMBERED = (
    Parameter("pageNo", "which page, counted from 1", NUMBER_LIMIT),
    Parameter("pageSize", f"items on a page; {LIST_LIMIT:,} at most", NUMBER_LIMIT),
    Parameter("name", "a part of the names wanted"),
)
COPIED = (
    Parameter("from", "an app; what the body leaves out is taken from it"),
    Parameter("base", "an app; its services and volumes stand before those of the body"),
)
COMPARED = (
    Parameter("from", "a revision; by default the one before the other", NUMBER_LIMIT),
    Parameter("to", "a revision; by default the newest", NUMBER_LIMIT),
)
ENDING = (
    Parameter("endsBefore", "RFC 3339; what ends before, by default in 30 days"),
    Parameter("node", "the name of a node: its own alone, whenever that ends"),
    *PAGED,
)
AUDITED = (
    Parameter("namespace", "where it was done; * is everywhere, and what is in no namespace"),
    Parameter("actor", "who did it: the name of a token, a node or a user, or a kind of actor"),
    Parameter("action", "what was done, like app.update"),
    Parameter("kind", "the kind of thing it was done to, like app"),
    Parameter("name", "the name of the thing"),
    Parameter("requestId", "the id of the request"),
    Parameter("since", "from then on (RFC 3339)"),
    Parameter("until", "before that (RFC 3339)"),
    Parameter("limit", "items on a page; 500 at most, also where it is 0", NUMBER_LIMIT),
    Parameter("continue", "where the page before ended: the token that it gave"),
)
FOLLOWED = (
    Parameter("type", "types like node.lost and families like node.*, separated by commas"),
    Parameter("namespace", "where it happened; * is everywhere"),
    Parameter("kind", "the kind of thing it happened to, like node"),
    Parameter("name", "the name of the thing"),
    Parameter("since", "from then on (RFC 3339), or after the event with that id"),
    Parameter("limit", "items on a page; 500 at most, also where it is 0", NUMBER_LIMIT),
    CONTINUE,
    Parameter("lastEventId", "of a stream: after that event; as the header Last-Event-ID"),
)
TOKENS = (Parameter("namespace", "a namespace, or * for tokens that are for all of them"),)
EXPLAINED = (Parameter("app", "only that app, also one that is not for the node"),)
