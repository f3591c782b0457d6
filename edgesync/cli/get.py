"""`edgesync get`, `describe` and `export`: read resources."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from cloud.core.kinds import BATCH, KINDS, NODE, ResourceKind
from edgesync.cli.api.client import ApiServer, RequestRefused
from edgesync.cli.options import (
    Target,
    asks_server,
    check_selects,
    kinds_named,
    output_option,
    selector_option,
    target_argument,
    targets_argument,
)
from edgesync.cli.output import (
    age,
    json_of,
    note,
    printable,
    progress,
    show_table,
    yaml_of,
)
from edgesync.cli.resources.access import found, listed, masked
from edgesync.cli.resources.columns import show_table_of

Json = Mapping[str, Any]

_secrets_option = click.option(
    "--show-secrets", is_flag=True, help="Show values of secrets and tokens."
)
_batch_option = click.option("--batch", default="", help="Batch of the records.")


@click.command()
@asks_server
@targets_argument()
@selector_option
@_batch_option
@output_option()
@_secrets_option
def get(
    server: ApiServer,
    *,
    targets: Sequence[Target],
    selector: str,
    batch: str,
    output: str,
    show_secrets: bool,
) -> None:
    """List resources of a kind: all, by label, or by name."""
    check_selects(selector, [target.kind for target in targets])
    if selector and targets[0].name:
        raise click.UsageError("names and -l exclude each other")
    whole = output in {"json", "yaml"}
    things = [
        (target.kind, thing if show_secrets else masked(target.kind, thing))
        for target in targets
        for thing in _shown(server, target, selector=selector, batch=batch, whole=whole)
    ]
    if whole:
        documents = [{"kind": kind.name, **thing} for kind, thing in things]
        is_one = len(targets) == 1 and bool(targets[0].name or targets[0].kind.is_single)
        _print_documents(documents, output, is_one=is_one)
    elif output == "name":
        for kind, thing in things:
            click.echo(printable(f"{kind.word}/{kind.name_of(thing)}"))
    else:
        if not things:
            _note_none(server, targets)
        _print_tables(things, wide=output == "wide")


@click.command()
@asks_server
@click.argument("kinds", nargs=-1, metavar="[KIND]...")
@selector_option
@output_option("yaml", "json", default="yaml")
@_secrets_option
def export(
    server: ApiServer, *, kinds: Sequence[str], selector: str, output: str, show_secrets: bool
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
            for thing in _shown(server, Target(kind), selector=selector, whole=True):
                document = manifest(kind, thing if show_secrets else masked(kind, thing))
                if kind.is_single and list(document) == ["kind"]:
                    continue  # it has only defaults
                documents.append(document)
        except RequestRefused as refusal:
            left.append(f"{kind.plural} skipped: {refusal.message}")
    _print_documents(documents, output, is_one=False)
    for line in left:
        note(line)
    if left:
        raise click.exceptions.Exit(1)


@click.command()
@asks_server
@target_argument()
def describe(server: ApiServer, *, target: Target) -> None:
    """Show one resource in full, with the resources related to it."""
    answer = found(server, target.kind, target.name)
    if answer is None:
        raise RequestRefused(404, "ResourceNotFound", f"{target.title} not found.")
    click.echo(printable(yaml_of(masked(target.kind, answer.content))), nl=False)
    if target.kind.is_used_by_apps:
        _uses(server, target)
    if target.kind is NODE:
        _node(server, target)
    if target.kind is BATCH:
        _batch(server, target, answer.content)


def _shown(
    server: ApiServer, target: Target, *, selector: str = "", batch: str = "", whole: bool
) -> Iterator[Json]:
    """Resources as in lists, or *whole* with all their fields."""
    if target.name:
        answer = found(server, target.kind, target.name)
        if answer is None:
            raise RequestRefused(404, "ResourceNotFound", f"{target.title} not found.")
        yield answer.content
        return
    things = listed(server, target.kind, selector=selector, batch=batch)
    if not whole or target.kind.is_whole_in_lists:
        yield from things
        return
    with progress() as shown:
        for thing in shown.track(list(things), description=target.kind.plural):
            answer = found(server, target.kind, target.kind.name_of(thing))
            if answer is not None:  # else it went meanwhile
                yield answer.content


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


def _note_none(server: ApiServer, targets: Sequence[Target]) -> None:
    plurals = " or ".join(dict.fromkeys(target.kind.plural for target in targets))
    where = f'namespace "{server.namespace}"' if server.namespace else "the token's namespace"
    note(f"No {plurals} found in {where}")


def _print_tables(things: Sequence[tuple[ResourceKind, Json]], *, wide: bool) -> None:
    kinds = list(dict.fromkeys(kind for kind, _ in things))
    for index, kind in enumerate(kinds):
        if index:
            click.echo()
        show_table_of(kind, [thing for each, thing in things if each is kind], wide=wide)


def _uses(server: ApiServer, target: Target) -> None:
    apps = server.call("GET", f"{target.url}/apps")["items"]
    click.echo("\nApps that use it:")
    show_table(
        ["NAME", "VERSION", "SELECTOR"], [[a["name"], a["version"], a["selector"]] for a in apps]
    )


def _node(server: ApiServer, target: Target) -> None:
    apps = server.call("GET", f"{target.url}/apps")["items"]
    report = server.call("GET", f"{target.url}/stats").get("report") or {}
    running = {one.get("name"): one for one in report.get("appstats") or ()}
    core = report.get("core") or {}
    agent = [str(core[key]) for key in ("binVersion", "gitRevision") if core.get(key)]
    if agent:
        click.echo(f"\nAgent: {printable(', '.join(agent))}")
    click.echo("\nApps:")
    rows = []
    for app in apps:
        seen = running.get(app["name"], {})
        rows.append(
            [
                app["name"],
                app["version"],
                seen.get("version"),
                seen.get("status"),
                seen.get("cause"),
            ]
        )
    show_table(["NAME", "WANTED", "RUNNING", "STATUS", "CAUSE"], rows)
    deploys = server.call("GET", f"{target.url}/deploys")["items"][:5]
    click.echo("\nLast changes:")
    show_table(
        ["NUMBER", "SENT", "OUTCOME", "ENDED", "CAUSE"],
        [
            [d["number"], age(d["toldTime"]), d["outcome"], age(d["endTime"]), d["cause"]]
            for d in deploys
        ],
    )


def _batch(server: ApiServer, target: Target, batch: Json) -> None:
    if batch.get("warning"):
        click.echo(f"\nWarning: {printable(batch['warning'])}.")
        if batch.get("enableWhitelist"):
            click.echo(f"  edgesync record add {target.name} FINGERPRINT...")
            click.echo(f"  edgesync edit batch {target.name}")
    query = {"kind": "batch", "name": target.name, "type": "batch.refused", "limit": "10"}
    refused = server.call("GET", "/v1/events", query=query)["items"]
    if not refused:
        return
    click.echo("\nRefused devices:")
    show_table(
        ["AGE", "FINGERPRINT", "ADDRESS", "REASON", "TIMES"],
        [
            [
                age(event["time"]),
                event["data"].get("fingerprintValue"),
                *(event["data"].get("address"), event["data"].get("reason"), event["count"]),
            ]
            for event in refused
        ],
    )
