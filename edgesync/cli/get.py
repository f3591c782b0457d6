"""`edgesync get` and `export`: read resources."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

import click

from cloud.core.kinds import KINDS, ResourceKind
from edgesync.cli.events import followed_events
from edgesync.cli.hints import not_found
from edgesync.cli.options import (
    GetFormat,
    Target,
    asks_server,
    check_selects,
    fields_option,
    kinds_named,
    output_option,
    selector_option,
    targets_argument,
)
from edgesync.cli.output import (
    json_of,
    note,
    printable,
    progress,
    show_row,
    show_table,
    yaml_of,
)
from edgesync.cli.resources.access import found, listed, masked, matching, one_of
from edgesync.cli.resources.columns import TableOptions, sorted_by, table_of
from edgesync.cli.resources.namespaces import NAMESPACE, namespace_names
from edgesync.cli.resources.paths import columns_in, rendered, value_at
from edgesync.client.client import Client
from edgesync.client.errors import ApiError, NotPermitted, is_unknown_route

Json = Mapping[str, Any]

_NOT_THERE = "this server does not have them"
_secrets_option = click.option(
    "--show-secrets", is_flag=True, help="Show values of secrets and tokens."
)
_batch_option = click.option("--batch", default="", help="Batch of the records.")


@click.command()
@asks_server
@targets_argument(listed=(NAMESPACE,))
@selector_option
@fields_option
@_batch_option
@click.option(
    "-A",
    "--all-namespaces",
    "everywhere",
    is_flag=True,
    help="List those of each namespace that the token may see.",
)
@click.option(
    "-L", "--label-columns", "labels", multiple=True, metavar="KEY", help="Show a label's values."
)
@click.option("--show-labels", is_flag=True, help="Show all labels.")
@click.option("--sort-by", metavar="COLUMN|PATH", help="Order, like name or .state.since.")
@click.option("-w", "--watch", is_flag=True, help="Then print what changes. Stop with Ctrl-C.")
@click.option(
    "-o",
    "--output",
    type=GetFormat(),
    default="table",
    show_default=True,
    help="Output format.",
)
@_secrets_option
def get(
    server: Client,
    *,
    targets: Sequence[Target],
    selector: str,
    fields: str,
    batch: str,
    everywhere: bool,
    labels: Sequence[str],
    show_labels: bool,
    sort_by: str | None,
    watch: bool,
    output: str,
    show_secrets: bool,
) -> None:
    """List resources of a kind: all, by label, by field, or by name.

    `*` in a name stands for any text: `get nodes 'press-*'`. `get all` lists all kinds, `get
    namespaces` the namespaces that the token may see.
    """
    is_all = len(targets) > 1 and not any(target.name for target in targets)
    chosen = [target for target in targets if not (is_all and selector) or target.kind.has_labels]
    check_selects(selector, [target.kind for target in chosen])
    if (selector or fields) and targets[0].name:
        raise click.UsageError("names exclude -l and --field-selector")
    _check_everywhere(everywhere=everywhere, watch=watch)
    whole = output in {"json", "yaml"} or "=" in output
    with_status = whole or output == "wide" or "status" in (sort_by or "").lower()
    query = GetQuery(
        server, selector, fields, batch, whole=whole, is_all=is_all, with_status=with_status
    )
    after = _last_event(server) if watch else ""
    things = [
        (target.kind, thing if show_secrets else masked(target.kind, thing))
        for target in chosen
        for thing in (query.found_everywhere(target) if everywhere else query.found(target))
    ]
    if sort_by:
        by_kind = {kind: [one for each, one in things if each is kind] for kind, _ in things}
        things = [
            (kind, one) for kind, some in by_kind.items() for one in sorted_by(kind, some, sort_by)
        ]
    keys = [key for one in labels for key in one.split(",")]
    options = TableOptions(output == "wide", keys, show_labels, namespaces=everywhere)
    is_one = len(targets) == 1 and targets[0].is_one and not everywhere
    widths = _print(server, things, output, options, targets=targets, is_one=is_one)
    if watch:
        _follow(server, targets, output, options, widths, after)


@click.command()
@asks_server
@click.argument("kinds", nargs=-1, metavar="[KIND]...")
@selector_option
@output_option("yaml", "json", default="yaml")
@_secrets_option
def export(
    server: Client, *, kinds: Sequence[str], selector: str, output: str, show_secrets: bool
) -> None:
    """Print resources as manifests for `edgesync apply -f`.

    Secret values are masked; apply keeps the stored value of a masked one. Exits with 1 if the
    token may not read everything.
    """
    from edgesync.cli.resources.exporting import manifest  # loads the types of all kinds

    chosen = _chosen(kinds, selector)
    documents, left = [], []
    for kind in chosen:
        try:
            for thing in GetQuery(server, selector, whole=True).found(Target(kind)):
                document = manifest(kind, thing if show_secrets else masked(kind, thing))
                if kind.is_single and list(document) == ["kind"]:
                    continue  # it has only defaults
                documents.append(document)
        except ApiError as refusal:
            if not kinds and is_unknown_route(refusal.refusal):
                note(f"{kind.plural} skipped: {_NOT_THERE}")
            else:
                left.append(f"{kind.plural} skipped: {refusal.message}")
    _print_documents(documents, output, is_one=False)
    for line in left:
        note(line)
    if left:
        raise click.exceptions.Exit(1)


@dataclass(frozen=True, slots=True)
class GetQuery:
    """What `get` asks a server for; *whole* things have all their fields."""

    server: Client
    selector: str = ""
    fields: str = ""
    batch: str = ""
    whole: bool = False
    is_all: bool = False
    is_everywhere: bool = False
    with_status: bool = False

    def found(self, target: Target) -> Iterator[Json]:
        """The things of *target*; of `all` without those that the token may not see.

        And without those of a kind that the server does not know, as an older one.
        """
        try:
            yield from self._found(target)
        except ApiError as refusal:
            is_unknown = is_unknown_route(refusal.refusal)
            if not self.is_all or not (is_unknown or isinstance(refusal, NotPermitted)):
                raise
            note(f"{target.kind.plural} skipped: {_NOT_THERE if is_unknown else refusal.message}")

    def found_everywhere(self, target: Target) -> Iterator[Json]:
        """As `found`, of each namespace that the token may see; each thing names its own.

        Of what has a name there may be one in each.
        """
        if target.kind is NAMESPACE:
            yield from ({"namespace": one["name"], **one} for one in self.found(target))
            return
        for name in namespace_names(self.server):
            query = replace(self, server=self.server.within(name), is_everywhere=True)
            for thing in query.found(target):
                yield {"namespace": name, **thing}

    def _found(self, target: Target) -> Iterator[Json]:
        kind = target.kind
        if kind is NAMESPACE:
            yield from self._namespaces(target)
            return
        if target.is_one and (kind.is_single or not self.is_everywhere):
            thing = one_of(self.server, kind, target.name, with_status=self.with_status)
            if thing is None:
                raise not_found(target.title, target.url)
            yield thing
            return
        if target.name:
            things = matching(self.server, kind, target.name, with_status=self.with_status)
        else:
            things = listed(
                self.server,
                kind,
                selector=self.selector,
                batch=self.batch,
                fields=self.fields,
                with_status=self.with_status,
            )
        if not self.whole or kind.is_whole_in_lists:
            yield from things
            return
        with progress() as shown:
            for thing in shown.track(list(things), description=kind.plural):
                answer = found(self.server, kind, kind.name_of(thing))
                if answer is not None:  # else it went meanwhile
                    yield answer.value

    def _namespaces(self, target: Target) -> Iterator[Json]:
        things = [
            one
            for one in self.server.pages(NAMESPACE.path)
            if fnmatchcase(one["name"], target.name or "*")
        ]
        if target.is_one and not things:
            raise not_found(target.title, target.url)
        yield from things


def _check_everywhere(*, everywhere: bool, watch: bool) -> None:
    """UsageError for options that -A excludes."""
    if everywhere and click.get_current_context().params.get("namespace"):
        raise click.UsageError("-A lists all namespaces, -n one: give one of them")
    if everywhere and watch:
        raise click.UsageError("-w follows one namespace: give -n instead of -A")


def _chosen(words: Sequence[str], selector: str) -> list[ResourceKind]:
    kinds = kinds_named(words) or [kind for kind in KINDS if kind.has_labels or not selector]
    check_selects(selector, kinds)
    return sorted(kinds, key=KINDS.index)


def _print_documents(documents: Sequence[Json], output: str, *, is_one: bool) -> None:
    if output == "json":
        shown = documents[0] if is_one else {"kind": "List", "items": documents}
        click.echo(json_of(shown))
        return
    click.echo("---\n".join(yaml_of(document) for document in documents), nl=False)


def _note_none(server: Client, targets: Sequence[Target], *, everywhere: bool) -> None:
    plurals = " or ".join(dict.fromkeys(target.kind.plural for target in targets))
    where = f'namespace "{server.namespace}"' if server.namespace else "the token's namespace"
    if everywhere:
        where = "any namespace"
    note(f"No {plurals} found in {where}")


def _print(
    server: Client,
    things: Sequence[tuple[ResourceKind, Json]],
    output: str,
    options: TableOptions,
    *,
    targets: Sequence[Target],
    is_one: bool,
) -> dict[ResourceKind, Sequence[int]]:
    """Print *things*; the widths of their tables."""
    template, equals, text = output.partition("=")
    if output in {"json", "yaml"} or template == "jsonpath":
        documents = [{"kind": kind.name, **thing} for kind, thing in things]
        if equals:
            content = documents[0] if is_one else {"kind": "List", "items": documents}
            shown = printable(rendered(text, content))
            click.echo(shown, nl=not shown.endswith("\n"))
        else:
            _print_documents(documents, output, is_one=is_one)
    elif equals:
        columns = columns_in(text)
        rows = [[value_at(path, thing) for _, path in columns] for _, thing in things]
        show_table([title for title, _ in columns], rows)
    elif output == "name":
        for kind, thing in things:
            click.echo(printable(f"{kind.word}/{kind.name_of(thing)}"))
    else:
        if not things:
            _note_none(server, targets, everywhere=options.namespaces)
        return _print_tables(server, things, options)
    return {}


def _print_tables(
    server: Client, things: Sequence[tuple[ResourceKind, Json]], options: TableOptions
) -> dict[ResourceKind, Sequence[int]]:
    widths: dict[ResourceKind, Sequence[int]] = {}
    for kind in dict.fromkeys(kind for kind, _ in things):
        if widths:
            click.echo()
        some = [thing for each, thing in things if each is kind]
        widths[kind] = show_table(*table_of(server, kind, some, options))
    return widths


def _last_event(server: Client) -> str:
    """The id of the newest event: what changes later is followed, also while the list is read."""
    newest = server.call("GET", "/v1/events", query={"limit": "1"})["items"]
    return newest[0]["id"] if newest else "0"


def _follow(
    server: Client,
    targets: Sequence[Target],
    output: str,
    options: TableOptions,
    widths: dict[ResourceKind, Sequence[int]],
    after: str,
) -> None:
    """Print each thing of *targets* again when an event is about it."""
    if output not in {"table", "wide", "name", "json"}:
        raise click.UsageError("-w prints tables, names and JSON")
    kinds = {target.kind.logged_as: target.kind for target in targets}
    if len(kinds) > 1:
        raise click.UsageError("-w follows one kind")
    if NAMESPACE in kinds.values():
        raise click.UsageError("-w: namespaces have no events")
    [(logged, kind)] = kinds.items()
    patterns = [target.name or "*" for target in targets]
    with contextlib.suppress(KeyboardInterrupt):
        for event in followed_events(server, {"kind": logged}, after):
            name = str(event["subject"]["name"])
            if not any(fnmatchcase(name, pattern) for pattern in patterns):
                continue
            is_whole = output in {"json", "wide"}
            found_now = None if kind.parent else one_of(server, kind, name, with_status=is_whole)
            if found_now is None:
                note(f"{kind.word}/{name} is gone")
            elif output in {"name", "json"}:
                thing = masked(kind, found_now)
                click.echo(json_of(thing) if output == "json" else f"{kind.word}/{name}")
            else:
                titles, rows = table_of(server, kind, [found_now], options)
                if kind not in widths:
                    widths[kind] = show_table(titles, rows)
                else:
                    show_row(rows[0], widths[kind])
