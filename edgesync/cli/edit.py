"""`edgesync edit` and `edgesync label`: change resources."""

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from cloud.core.kinds import NODE, ResourceKind
from edgesync.cli.hints import message_of, not_found
from edgesync.cli.options import (
    Target,
    asks_server,
    confirm_option,
    label_options,
    reason_option,
    target_argument,
    targets_argument,
)
from edgesync.cli.output import is_agreed, show_change, yaml_of
from edgesync.cli.resources.access import found, listed, masked, unmasked
from edgesync.cli.resources.applying import ApplyOutcome
from edgesync.cli.resources.exporting import manifest
from edgesync.cli.resources.manifests import Document, read_text
from edgesync.cli.resources.plans import request_plan, show_gains
from edgesync.client.client import Client
from edgesync.client.errors import ApiError, ChangedMeanwhile

_HELP = "# Lines that begin with # are ignored. Save without changes to cancel.\n"


@click.command()
@asks_server
@target_argument()
@confirm_option
@reason_option
def edit(server: Client, *, target: Target) -> None:
    """Edit one resource as YAML in $EDITOR.

    After an error the file is opened again with the error as a comment. A concurrent change is
    never overwritten.
    """
    answer = found(server, target.kind, target.name)
    if answer is None:
        raise not_found(target.title, target.url)
    original = yaml_of(manifest(target.kind, masked(target.kind, answer.value)))
    text, complaint = original, ""
    while True:
        shown = _HELP + "".join(f"# {line}\n" for line in complaint.splitlines()) + text
        edited = _content(click.edit(shown, extension=".yaml"), text)
        if edited == original:
            click.echo(f"{target.title} is unchanged.")
            return
        if complaint and edited == text:
            raise click.ClickException(f"{complaint}\nYour edit is saved in {_kept(edited)}.")
        text = edited
        try:
            _save(server, target, edited, answer.value, answer.tag)
        except ChangedMeanwhile as refusal:
            raise click.ClickException(
                f"{message_of(refusal)}\nYour edit is saved in {_kept(edited)}."
            ) from refusal
        except (ApiError, click.ClickException) as error:
            complaint = message_of(error)
        else:
            show_change(ApplyOutcome.CHANGED, target.title)
            return


def _content(saved: str | None, before: str) -> str:
    if saved is None:  # left without saving
        return before
    return "".join(line for line in saved.splitlines(keepends=True) if not line.startswith("#"))


def _save(server: Client, target: Target, text: str, current: Mapping[str, Any], tag: str) -> None:
    documents = list(read_text(text, "your text"))
    if len(documents) != 1 or (documents[0].kind, documents[0].name) != (target.kind, target.name):
        raise click.ClickException(f"expected one document for {target.title}")
    body = unmasked(target.kind, documents[0].body, current)
    document = Document(target.kind, body)
    for field, _ in target.kind.replaced_by:
        if field in body:
            raise click.ClickException(f"{field}: use `edgesync apply` to change it")
    server.call("PUT", target.url, body=document.put_body, headers={"If-Match": tag} if tag else {})


def _kept(text: str) -> Path:
    number, name = tempfile.mkstemp(prefix="edgesync-edit-", suffix=".yaml")
    with os.fdopen(number, "w", encoding="utf-8") as file:
        file.write(text)
    return Path(name)


@click.command()
@asks_server
@targets_argument("has_labels")
@label_options
def label(
    server: Client,
    *,
    targets: Sequence[Target],
    selector: str,
    overwrite: bool,
    yes: bool,
    dry_run: bool,
) -> None:
    """Set or remove labels of nodes, apps and configs: `label node n1 role=gateway old-`.

    KEY=VALUE sets a label, KEY- removes it. Selectors of apps apply at once. Several nodes are
    changed together, or not at all; what -l selects after a preview of the apps that they gain
    and lose.
    """
    words = [target.name for target in targets if is_change(target.name)]
    names = [target.name for target in targets if not is_change(target.name) and target.name]
    how = ChangeOptions(overwrite=overwrite, yes=yes, dry_run=dry_run)
    change_labels(server, targets[0].kind, names, words, selector, how)


@dataclass(frozen=True, slots=True)
class ChangeOptions:
    """How labels are changed."""

    overwrite: bool
    yes: bool
    dry_run: bool


def change_labels(
    server: Client,
    kind: ResourceKind,
    names: Sequence[str],
    words: Sequence[str],
    selector: str,
    how: ChangeOptions,
) -> None:
    """Change labels by *words*, KEY=VALUE or KEY-, of what is named or selected."""
    changes = dict(_change(word) for word in words)
    if not changes:
        raise click.UsageError("name the labels: KEY=VALUE sets one, KEY- removes it")
    if bool(names) == bool(selector):
        raise click.UsageError(f"name the {kind.plural}, or select them with -l")
    if how.dry_run and kind is not NODE:
        raise click.UsageError("--dry-run: only labels of nodes decide which apps they run")
    things = (
        list(listed(server, kind, selector=selector)) if selector else _named(server, kind, names)
    )
    if not how.overwrite:
        _check_values(kind, things, changes)
    body = {"names": [thing["name"] for thing in things], "labels": changes}
    has_preview = how.dry_run or (bool(selector) and not how.yes)
    if kind is NODE and things and has_preview:
        show_gains(request_plan(server, "PATCH", kind.path, body))
    if how.dry_run:
        return
    question = f"Change labels of {len(things)} {kind.plural}?"
    if selector and not is_agreed(question, yes=how.yes):
        raise click.Abort
    _send_labels(server, kind, things, body)


def _send_labels(
    server: Client,
    kind: ResourceKind,
    things: Sequence[Mapping[str, Any]],
    body: Mapping[str, Any],
) -> None:
    """Change the labels of *things*, those of several nodes together."""
    are_sent = kind is NODE and len(things) > 1
    if are_sent:
        server.call("PATCH", kind.path, body=body)
    for thing in things:
        title = f"{kind.word}/{thing['name']}"
        if all(thing["labels"].get(key) == value for key, value in body["labels"].items()):
            show_change(ApplyOutcome.UNCHANGED, title)
            continue
        if not are_sent:
            server.call("PATCH", kind.url(thing["name"]), body={"labels": body["labels"]})
        show_change(ApplyOutcome.CHANGED, title)


def _check_values(
    kind: ResourceKind,
    things: Sequence[Mapping[str, Any]],
    changes: Mapping[str, str | None],
) -> None:
    """ClickException for a label that one of *things* has with another value."""
    for thing in things:
        for key, value in changes.items():
            before = thing["labels"].get(key, value)
            if value is not None and before != value:
                raise click.ClickException(
                    f"{kind.word}/{thing['name']} has {key}={before}; --overwrite changes it"
                )


def _named(server: Client, kind: Any, names: Sequence[str]) -> list[Mapping[str, Any]]:
    things = []
    for name in names:
        answer = found(server, kind, name)
        if answer is None:
            raise not_found(f"{kind.word}/{name}", kind.url(name))
        things.append(answer.value)
    return things


def is_change(word: str) -> bool:
    """Return whether *word* sets or removes a label."""
    return "=" in word or word.endswith("-")


def _change(word: str) -> tuple[str, str | None]:
    key, equals, value = word.partition("=")
    return (key, value) if equals else (word.removesuffix("-"), None)
