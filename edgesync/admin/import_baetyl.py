"""`edgesync import baetyl`: import the resources of a baetyl-cloud over both REST APIs.

It writes through the REST API, so nothing bypasses validation. It can be repeated: equal resources
are not changed.
"""

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

import click

from cloud.core.core_configuration import CoreConfiguration, checked_core
from cloud.core.decoding import convert
from cloud.core.properties import checked_desire
from edgesync.admin import baetyl_shapes as shapes
from edgesync.admin.baetyl_shapes import CannotTake, Json, Taken
from edgesync.admin.import_checks import ImportDryRun, Moves
from edgesync.cli.output import show_table
from edgesync.cli.server_options import access, client_of, prefixed_server_options, readable_file
from edgesync.client.access import Access, check_is_private, checked_url, token_in, trust
from edgesync.client.client import Client
from edgesync.client.errors import ApiError, NotFoundError

PAGE = 200
"""Items asked for at a time; an edition that knows no pages answers with all."""

_KINDS = ("secrets", "registries", "configs", "batches", "records", "nodes", "apps")
_CREATED, _UPDATED, _SAME, _LEFT = "created", "updated", "same", "not taken over"
_NOT_COMPARED = frozenset({"ready", "updateTime", "createTime"})


@click.group(name="import")
def imports() -> None:
    """Import resources from another server."""


@imports.command()
@click.option("--url", required=True, help="REST API of baetyl-cloud, like http://10.0.0.5:9004.")
@click.option(
    "--token-file", type=readable_file(), help="File with a bearer token for it, if required."
)
@click.option(
    "--ca", type=readable_file(), help="Its CA certificate.  [default: the system trust store]"
)
@prefixed_server_options("to-")
@click.option("--to-namespace", default="", help="Target namespace, if the token is valid for all.")
@click.option("--dry-run", is_flag=True, help="Read everything, write nothing.")
def baetyl(
    url: str,
    token_file: Path | None,
    ca: Path | None,
    to_url: str | None,
    to_ca: Path | None,
    to_token_file: Path | None,
    to_context_name: str | None,
    to_namespace: str,
    *,
    dry_run: bool,
) -> None:
    """Import nodes, apps, configs, secrets, registries, batches and records of baetyl-cloud.

    Exits with 1 if something could not be imported; a list at the end names it with the reason.
    """
    source = checked_url("--url", url)
    token = token_in(token_file) if token_file else ""
    if token:
        check_is_private("--url", source)
    target = access(
        to_url, to_ca, to_token_file, to_context_name, namespace=to_namespace or None, prefix="to-"
    )
    with (
        client_of(Access(source, trust("--ca", ca, source), token)) as there,
        client_of(target) as here,
    ):
        run = _Import(_Baetyl(there), here, ImportDryRun(here) if dry_run else None)
        run.everything()
    run.summary.show(dry_run=dry_run)
    if run.summary.left:
        raise click.exceptions.Exit(1)


@dataclass(frozen=True, slots=True)
class _Baetyl:
    """The REST API of a baetyl-cloud."""

    server: Client

    def all(self, path: str) -> Sequence[Json]:
        """Every item of a list, each name once, whichever way the list is paged."""
        found: dict[str, Json] = {}
        number = 1
        while True:
            page = self.server.call(
                "GET", path, query={"pageNo": str(number), "pageSize": str(PAGE)}
            )
            items = page.get("items") if isinstance(page, Mapping) else None
            new = {
                str(item["name"]): item
                for item in items or ()
                if isinstance(item, Mapping) and item.get("name")
            }
            if new.keys() <= found.keys():
                return list(found.values())
            found.update(new)
            if len(new) != PAGE:
                return list(found.values())
            number += 1

    def one(self, *parts: str) -> Json:
        """One thing; ApiError if it is not shown, CannotTake if it is not a thing."""
        answer = self.server.call("GET", _path(*parts))
        if not isinstance(answer, Mapping):
            raise CannotTake("the answer is not an object")
        return answer

    def one_or_none(self, *parts: str) -> Json | None:
        """As `one`; None where it is not shown."""
        try:
            return self.one(*parts)
        except ApiError:
            return None


@dataclass(slots=True)
class _Summary:
    """The counts of all outcomes."""

    counts: dict[str, Counter[str]] = field(
        default_factory=lambda: {kind: Counter() for kind in _KINDS}
    )
    left: list[tuple[str, str, str]] = field(default_factory=list)
    lost: list[tuple[str, str, str]] = field(default_factory=list)
    stops: list[tuple[str, str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def show(self, *, dry_run: bool) -> None:
        """Print it, what needs manual work last."""
        titles = ["KIND", *(column.upper() for column in (_CREATED, _UPDATED, _SAME, _LEFT))]
        rows = [
            [kind, *(str(counts[column]) for column in (_CREATED, _UPDATED, _SAME, _LEFT))]
            for kind, counts in self.counts.items()
        ]
        show_table(titles, rows)
        if dry_run:
            click.echo("\nNothing was written; the server has tried each call out.")
        for note in self.notes:
            click.echo(f"\n{note}")
        for heading, entries in (
            ("Taken over without these fields:", self.lost),
            ("Not taken over:", self.left),
            ("Running there, and stopped by the move of their nodes:", self.stops),
        ):
            if entries:
                click.echo(f"\n{heading}")
                for kind, name, why in entries:
                    click.echo(f"  {kind} {name}: {why}")


class _Import:
    """One run."""

    def __init__(self, there: _Baetyl, here: Client, dry_run: ImportDryRun | None) -> None:
        self._there = there
        self._here = here
        # None: each call is made in earnest.
        self._dry_run = dry_run
        self._moves = Moves()
        self.summary = _Summary()

    def everything(self) -> None:
        """Resources that others use come first; apps come last, when there are nodes for them."""
        self._each("secrets", lambda name: shapes.secret_of(self._there.one("secrets", name)))
        self._each("registries", self._registry, put=("description",))
        self._each("configs", lambda name: shapes.config_of(self._there.one("configs", name)))
        self._register()
        for name in _progress("nodes", self._names("nodes")):
            self._node(name)
        self._each("apps", lambda name: shapes.app_of(self._there.one("apps", name)))
        self.summary.stops += [("apps", *stop) for stop in self._moves.stopped(self._here)]

    def _names(self, kind: str) -> Sequence[str]:
        return [str(item["name"]) for item in self._there.all(f"/v1/{kind}")]

    def _each(
        self, kind: str, take: Callable[[str], Taken], *, put: Sequence[str] | None = None
    ) -> None:
        """Take over all of a *kind*; *put* names the fields that an update may have."""
        for name in _progress(kind, self._names(kind)):
            with self._watched(kind, name):
                taken = take(name)
                self._write(kind, name, f"/v1/{kind}", taken, put=put)
                if kind == "apps":
                    self._moves.see_app(name, str(taken.body.get("selector") or ""))

    def _registry(self, name: str) -> Taken:
        registry = self._there.one("registries", name)
        if self._found(_path("registries", name)) is None:
            return shapes.registry_of(registry, self._there.one_or_none("secrets", name))
        # Its password is there already and can neither be compared nor put.
        return Taken({"description": registry.get("description") or ""})

    def _register(self) -> None:
        """Batches and their records, where the edition has them."""
        try:
            batches = [str(item["name"]) for item in self._there.all("/v1/register")]
        except NotFoundError:
            self.summary.notes.append("This edition of baetyl-cloud shows no batches and records.")
            return
        active = 0
        for batch in _progress("batches", batches):
            with self._watched("batches", batch):
                taken = shapes.batch_of(self._there.one("register", batch))
                self._write("batches", batch, "/v1/register", taken)
                active += self._records(batch)
        if active:
            self.summary.notes.append(
                f"{active} records were active there. Here their devices activate anew, and get a"
                " certificate of this server."
            )

    def _records(self, batch: str) -> int:
        """Take over the records of a batch; how many were active."""
        where = f"/v1/register/{quote(batch, safe='')}/record"
        records = self._there.all(where)
        for record in records:
            name = str(record["name"])
            with self._watched("records", f"{batch}/{name}"):
                self._write("records", name, where, shapes.record_of(record), put=("nodeName",))
        return sum(record.get("active") == 1 for record in records)

    def _node(self, name: str) -> None:
        with self._watched("nodes", name):
            node = self._there.one("nodes", name)
            taken = shapes.node_of(node)
            self._write("nodes", name, "/v1/nodes", taken)
            self._moves.see_node(name, taken.body["labels"], node)
            self._settings_of(name, node)

    def _settings_of(self, node: str, seen: Json) -> None:
        """The node's desired properties, mode and core configuration, where they are shown."""
        with self._watched("nodes", f"{node} (settings)"):
            shown = self._there.one_or_none("nodes", node, "properties") or {}
            if desire := (shown.get("state") or {}).get("desire"):
                body: Json = {"state": {"desire": desire}}
                wanted = lambda: checked_desire("state.desire", convert(desire, dict[str, str]))  # noqa: E731
                self._configure(node, "properties", body, wanted)
            if seen.get("mode") == "local":
                self._configure(node, "mode", {"mode": "local"}, lambda: None)
            if core := self._there.one_or_none("nodes", node, "core", "configs"):
                body = shapes.core_of(core).body
                settings = lambda: checked_core(convert(body, CoreConfiguration))  # noqa: E731
                self._configure(node, "core/configs", body, settings)

    def _configure(self, node: str, part: str, body: Json, check: Callable[[], object]) -> None:
        path = f"{_path('nodes', node)}/{part}"
        if self._dry_run:
            self._dry_run.configure(node, path, body, check)
        else:
            self._here.call("PUT", path, body=body)

    def _write(
        self, kind: str, name: str, where: str, taken: Taken, *, put: Sequence[str] | None = None
    ) -> None:
        path = f"{where}/{quote(name, safe='')}"
        before = self._found(path)
        outcome = _CREATED if before is None else _UPDATED
        if before is None:
            self._create(kind, name, where, {**taken.body, "name": name})
        else:
            body = {key: taken.body[key] for key in taken.body if put is None or key in put}
            is_changed = bool(body) and self._update(path, body, before)
            outcome = _UPDATED if is_changed else _SAME
        self.summary.counts[kind][outcome] += 1
        if taken.lost:
            self.summary.lost.append((kind, name, ", ".join(taken.lost)))

    def _create(self, kind: str, name: str, where: str, body: Json) -> None:
        if self._dry_run:
            self._dry_run.create(kind, name, where, body)
        else:
            self._here.call("POST", where, body=body)

    def _update(self, path: str, body: Json, before: Json) -> bool:
        """Whether it changes anything."""
        if self._dry_run:
            return self._dry_run.update(path, body)
        after: Json = self._here.call("PUT", path, body=body)
        return _compared(after) != _compared(before)

    def _found(self, path: str) -> Json | None:
        try:
            found: Json = self._here.call("GET", path)
        except ApiError as refusal:
            if refusal.status == 404:
                return None
            raise
        return found

    def _watched(self, kind: str, name: str) -> "_ErrorRecorder":
        return _ErrorRecorder(self.summary, kind, name)


@dataclass(frozen=True, slots=True)
class _ErrorRecorder:
    """Records an error of one resource, so that the next one is imported."""

    summary: _Summary
    kind: str
    name: str

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        if not isinstance(error, CannotTake | ApiError):
            return False
        why = error.message if isinstance(error, ApiError) else str(error)
        self.summary.counts[self.kind][_LEFT] += 1
        self.summary.left.append((self.kind, self.name, why))
        return True


def _progress(kind: str, names: Sequence[str]) -> Iterator[str]:
    """Show how far it is, on the terminal alone."""
    with click.progressbar(names, label=f"{kind:<12}", file=sys.stderr) as bar:
        yield from bar


def _compared(thing: Mapping[str, Any]) -> Mapping[str, Any]:
    return {key: thing[key] for key in thing if key not in _NOT_COMPARED}


def _path(*parts: str) -> str:
    return "/v1/" + "/".join(quote(part, safe="") for part in parts)
