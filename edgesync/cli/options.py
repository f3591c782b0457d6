"""Options and arguments that verbs share: server, resources, output format."""

import errno
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cloud.core.kinds import KINDS, ResourceKind, words_of
from edgesync.cli.completing import completed_namespaces, completed_nodes, completed_targets
from edgesync.cli.output import FORMATS
from edgesync.cli.resources.kinds import OWNER_LABEL, kind_words, url_of
from edgesync.cli.server_options import access, client_of, server_options

if TYPE_CHECKING:
    from edgesync.cli.resources.manifests import Document

ALL = "all"
"""The word for all kinds."""

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class UnknownKind(click.ClickException):
    """A word that names no kind, or none that the command takes."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class Target:
    """A thing, or with an empty *name* all things of its kind."""

    kind: ResourceKind
    name: str = ""

    @property
    def title(self) -> str:
        """Kind and name, as commands take them."""
        if self.kind.is_single:
            return self.kind.word
        return f"{self.kind.word}/{self.name}" if self.name else self.kind.plural

    @property
    def is_one(self) -> bool:
        """Return whether it is a single thing, by its whole name or as there is one only."""
        return self.kind.is_single or bool(self.name and "*" not in self.name)

    @property
    def url(self) -> str:
        """Path of the thing."""
        return url_of(self.kind, self.name)


def asks_server(command: Callable[..., Any]) -> Callable[..., Any]:
    """Call *command* with the Server that options, environment and context name, first."""

    @server_options
    @click.option(
        "-n",
        "--namespace",
        help="Namespace.  [default: the token's]",
        shell_complete=completed_namespaces,
    )
    @functools.wraps(command)
    def run(
        *,
        url: str | None,
        ca: Path | None,
        token_file: Path | None,
        context_name: str | None,
        namespace: str | None,
        **rest: Any,
    ) -> Any:
        reached = access(url, ca, token_file, context_name, namespace=namespace)
        options = {name: rest.pop(name, None) for name in ("reason", "confirm")}
        with client_of(reached) as client:
            try:
                return command(client.with_options(**options), **rest)
            except OSError as error:
                if error.errno == errno.EPIPE:  # click handles a closed pipe
                    raise
                raise click.ClickException(str(error)) from error

    return run


def reason_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--reason`, which `asks_server` sends as a header."""
    return click.option("--reason", help="Reason, for the audit log and history.")(command)


def confirm_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--confirm`, which `asks_server` sends as a query parameter."""
    return click.option(
        "--confirm", is_flag=True, help="Override the guard's limit on affected nodes."
    )(command)


def output_option(*formats: str, default: str = "table") -> Decorator:
    """Add `-o`, the output format."""
    return click.option(
        "-o",
        "--output",
        type=click.Choice(formats or FORMATS),
        default=default,
        show_default=True,
        help="Output format.",
    )


class GetFormat(click.Choice[str]):
    """The output formats of `get`: those of `FORMATS`, and templates of paths."""

    TEMPLATES = ("jsonpath", "custom-columns")

    def __init__(self) -> None:
        super().__init__(FORMATS)

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """As in `Choice`; templates as they are."""
        name, equals, _ = str(value).partition("=")
        if equals and name in self.TEMPLATES:
            return value
        return super().convert(value, param, ctx)

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """All formats."""
        return f"[{'|'.join((*FORMATS, 'jsonpath=TEMPLATE', 'custom-columns=TITLE:PATH,...'))}]"


def fields_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--field-selector`."""
    return click.option(
        "--field-selector",
        "fields",
        default="",
        help="Field selector, like status.state=offline,status.apps.web=failed.",
    )(command)


def selector_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `-l`, a label selector."""
    return click.option(
        "-l", "--selector", default="", help="Label selector, like role=gateway,env!=lab."
    )(command)


def label_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of verbs that change labels: `-l`, `--overwrite`, `--yes` and more."""
    for add in (
        reason_option,
        confirm_option,
        click.option("--yes", is_flag=True, help="Change what -l selects without confirmation."),
        click.option("--overwrite", is_flag=True, help="Change a label that has another value."),
        click.option(
            "--dry-run", is_flag=True, help="Show which nodes would gain and lose which apps."
        ),
        selector_option,
    ):
        command = add(command)
    return command


def files_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give *command* `-f`: manifests."""
    return click.option(
        "-f",
        "--filename",
        "files",
        multiple=True,
        required=True,
        metavar="FILE|DIR|-",
        type=click.Path(),
        help="Manifests: a file, all files of a directory, or standard input. Can be repeated.",
    )(command)


def documents_of(files: Sequence[str]) -> "list[Document]":
    """The documents of *files*, all for the namespace of `-n`, where it is given."""
    from edgesync.cli.resources.manifests import read_manifests  # loads PyYAML

    documents = read_manifests(files)
    namespace = click.get_current_context().params.get("namespace")
    for document in documents:
        if namespace and document.namespace not in {"", namespace}:
            place = document.place.of("namespace")
            raise click.ClickException(f"{place}: the namespace is not that of -n {namespace}")
    return documents


def owner_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give *command* `--owner`, for `Document.owned_by`."""
    return click.option(
        "--owner",
        metavar="NAME",
        help=f"Label nodes, apps and configs {OWNER_LABEL}=NAME, by which --prune selects.",
    )(command)


def targets_argument(
    needs: str = "", *, required: bool = True, listed: Sequence[ResourceKind] | None = None
) -> Decorator:
    """Give a command things: `KIND [NAME]...` or `KIND/NAME...`, as `targets`.

    One that lists things has *listed*: kinds beside those of the registry. There the word `all`
    stands for all kinds of the registry whose things are listed.
    """

    def chosen(_: click.Context, __: click.Parameter, words: Sequence[str]) -> list[Target]:
        if listed is not None and [word.lower() for word in words] == [ALL]:
            return [Target(kind) for kind in KINDS if not (kind.is_single or kind.parent)]
        return _targets(words, needs, listed or ())

    return click.argument(
        "targets",
        nargs=-1,
        required=required,
        metavar="KIND [NAME]... | KIND/NAME...",
        callback=chosen,
        shell_complete=completed_targets,
    )


def target_argument(needs: str = "") -> Decorator:
    """Give a command one thing: `KIND NAME` or `KIND/NAME`, as `target`."""

    def one(context: click.Context, _: click.Parameter, words: Sequence[str]) -> Target | None:
        if context.resilient_parsing:  # for completion
            found = _targets(words, needs)
            return found[0] if found else None
        return target_of(words, needs)

    return click.argument(
        "target",
        nargs=-1,
        required=True,
        metavar="KIND NAME | KIND/NAME",
        callback=one,
        shell_complete=completed_targets,
    )


def target_of(words: Sequence[str], needs: str = "") -> Target:
    """The one resource that *words* name; UsageError for none and for several."""
    found = _targets(words, needs)
    if len(found) != 1 or not (found[0].name or found[0].kind.is_single):
        raise click.UsageError("name one resource: KIND NAME, or KIND/NAME")
    return found[0]


node_argument = click.argument("node", shell_complete=completed_nodes)
"""Give a command the name of a node, as `node`."""


def check_selects(selector: str, kinds: Sequence[ResourceKind]) -> None:
    """UsageError for a selector of things that have no labels."""
    for kind in kinds:
        if selector and not kind.has_labels:
            labelled = ", ".join(each.plural for each in KINDS if each.has_labels)
            raise click.UsageError(
                f"-l: {kind.plural} have no labels; kinds with labels: {labelled}"
            )


def kinds_named(words: Sequence[str]) -> list[ResourceKind]:
    """The kinds of those *words*; UsageError for a word that names none."""
    return [_kind(word, "") for word in words]


def _targets(words: Sequence[str], needs: str, more: Sequence[ResourceKind] = ()) -> list[Target]:
    if not words:
        return []
    if "/" not in words[0]:
        kind = _kind(words[0], needs, more)
        return [Target(kind, name) for name in words[1:]] or [Target(kind)]
    found = []
    for word in words:
        first, slash, name = word.partition("/")
        if not (slash and name):
            raise click.UsageError(f"{word!r} is not KIND/NAME")
        found.append(Target(_kind(first, needs, more), name))
    return found


def _kind(word: str, needs: str, more: Sequence[ResourceKind] = ()) -> ResourceKind:
    kind = KINDS.named(word) or next((one for one in more if word.lower() in words_of(one)), None)
    if kind is None or (needs and not getattr(kind, needs)):
        fault = "unknown kind" if kind is None else "not supported for kind"
        words = [*kind_words(needs), *(one.plural for one in more)]
        likely = get_close_matches(word.lower(), words, 1, 0.6) if kind is None else []
        hint = f"; did you mean {likely[0]}?" if likely else ""
        raise UnknownKind(f'{fault} "{word}"{hint}; kinds: {", ".join(words)}')
    return kind
