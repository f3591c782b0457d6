"""What a shell completes: kinds, and names that the server lists.

A completion never fails: without a server, a token or an answer in time there is none.
"""

from collections.abc import Mapping

import click

from cloud.core.kinds import CHANNEL, KINDS, NODE, ResourceKind
from edgesync.cli.resources.kinds import kind_words
from edgesync.cli.server_options import access, client_of
from edgesync.client.errors import ClientError

NAMES = 50
"""Names that are offered at most."""

SECONDS = 2
"""How long the server is waited for."""


def completed_targets(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Kinds, `KIND/NAME`, and after a kind its names."""
    before, slash, part = incomplete.partition("/")
    if slash and (kind := KINDS.named(before)) is not None:
        return [f"{before}/{name}" for name in _names(context, kind, part)]
    given = context.params.get("targets") or context.params.get("target")
    first = given[0] if isinstance(given, list | tuple) else given
    if (own := getattr(first, "kind", None)) is not None:
        return _names(context, own, incomplete)
    return [word for word in kind_words() if word.startswith(incomplete)]


def completed_nodes(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Names of nodes."""
    return _names(context, NODE, incomplete)


def completed_channels(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Names of channels."""
    return _names(context, CHANNEL, incomplete)


def completed_namespaces(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Names of the namespaces that the token may see."""
    return _found(context, "/v1/namespaces", {}, incomplete)[:NAMES]


def _names(context: click.Context, kind: ResourceKind, part: str) -> list[str]:
    """Names of a *kind* that begin with *part*."""
    if kind.is_single or kind.parent:
        return []
    query = {"limit": str(NAMES), "fieldSelector": f"metadata.name={part}*"}
    if kind.is_numbered:
        query = {"pageSize": str(NAMES), "name": part}
    return _found(context, kind.path, query, part)


def _found(context: click.Context, path: str, query: Mapping[str, str], part: str) -> list[str]:
    """Names in a list of the server that begin with *part*."""
    params = context.params
    try:
        options = [params.get(one) for one in ("url", "ca", "token_file", "context_name")]
        reached = access(*options, namespace=params.get("namespace"))
        with client_of(reached, seconds=SECONDS) as server:
            items = server.call("GET", path, query=query)["items"]
    except (ClientError, click.ClickException, OSError, KeyError, TypeError):
        return []
    return [one["name"] for one in items if one["name"].startswith(part)]
