"""Terminal output: tables, ages, colours, YAML and JSON.

Control characters in text from a server or a node are replaced, since a terminal executes them.
"""

import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.progress import Progress

FORMATS = ("table", "wide", "json", "yaml", "name")

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
_NEW_LINES = re.compile(r"[\n\t]+")
_COLOURS = {
    **dict.fromkeys(("online", "Running", "created", "converged", "done", "true", "+"), "green"),
    **dict.fromkeys(("stale", "pending", "changed", "Starting", "waiting", "sent"), "yellow"),
    **dict.fromkeys(("offline", "Failed", "failed", "deleted", "refused", "expired", "-"), "red"),
}
_EMPTY = "-"
_UNITS = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))
_SIZES = ("B", "KiB", "MiB", "GiB", "TiB")


def yaml_of(content: Any) -> str:
    """*content* as a YAML document, its fields in their order."""
    from cloud.http.yaml_text import encode_yaml  # loads PyYAML

    return encode_yaml(content).decode()


def json_of(content: Any) -> str:
    """*content* as JSON for people and programs."""
    return json.dumps(content, indent=2, ensure_ascii=False)


def printable(text: str) -> str:
    """*text* with control characters replaced, except newlines and tabs."""
    return _CONTROL.sub("�", text)


def in_line(value: Any) -> str:
    """*value* as one line: `-` for nothing."""
    if value is None or value == "":
        return _EMPTY
    if isinstance(value, bool):
        return "true" if value else "false"
    return _NEW_LINES.sub(" ", printable(str(value)))


def age(text: Any) -> str:
    """How long ago the RFC 3339 time *text* was, in its two largest units; `never` for none."""
    if not text:
        return "never"
    try:
        seconds = int((datetime.now(UTC) - datetime.fromisoformat(str(text))).total_seconds())
    except (ValueError, TypeError):
        return in_line(text)
    return span(max(seconds, 0))


def span(seconds: float) -> str:
    """*seconds* in the two largest units that are in it, like `3h12m`."""
    left, parts = int(seconds), []
    for size, unit in _UNITS:
        if left >= size:
            parts.append(f"{left // size}{unit}")
            left %= size
        elif parts:
            break
    return "".join(parts[:2]) or "0s"


def size(count: float) -> str:
    """*count* bytes with a unit."""
    for unit in _SIZES[:-1]:
        if abs(count) < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} {_SIZES[-1]}"


def pairs(labels: Mapping[str, Any]) -> str:
    """Labels as selectors write them."""
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items()))


def has_colour() -> bool:
    """Return whether what is printed may be coloured (no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and _is_able()


def _is_able() -> bool:
    return os.environ.get("TERM", "") != "dumb"


def coloured(text: str, word: str = "") -> str:
    """*text* in the colour of the state it, or *word*, names; plain without colours."""
    colour = _COLOURS.get(word or text)
    return click.style(text, fg=colour) if colour and has_colour() else text


def show_table(titles: Sequence[str], rows: Iterable[Sequence[Any]]) -> Sequence[int]:
    """Print *rows* below *titles*, each column as wide as it has to be, states in colour.

    Returns the widths, for `show_row`.
    """
    lines = [[in_line(cell) for cell in row] for row in rows]
    widths = [max(map(_width, column)) for column in zip(titles, *lines, strict=True)]
    click.echo(_line(titles, widths, lambda text: text))
    for line in lines:
        click.echo(_line(line, widths, _state))
    return widths


def show_row(row: Sequence[Any], widths: Sequence[int]) -> None:
    """Print one more row of a table with columns of these *widths*."""
    line = [in_line(cell) for cell in row]
    fitting = [max(width, _width(cell)) for cell, width in zip(line, widths, strict=True)]
    click.echo(_line(line, fitting, _state))


def _state(cell: str) -> str:
    return cell if cell == _EMPTY else coloured(cell)


def _line(cells: Sequence[str], widths: Sequence[int], paint: Callable[[str], str]) -> str:
    last = len(cells) - 1
    return "  ".join(
        paint(cell) + " " * (0 if index == last else width - _width(cell))
        for index, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ).rstrip()


def _width(text: str) -> int:
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def show_change(verb: str, title: str, note: str = "") -> None:
    """Print the outcome for one resource."""
    line = f"{coloured(f'{verb:<11}', verb)}{printable(title)}"
    click.echo(f"{line}  {note}" if note else line)


def progress(*, beside_output: bool = False) -> "Progress":
    """How far long work is: on standard error, and only if that is a terminal.

    Work that prints *beside_output* as it goes on shows itself how far it is, on a terminal.
    """
    # Imported when it is used: most commands show no progress, and it takes as long as a call.
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
    )

    is_seen = sys.stderr.isatty() and not (beside_output and sys.stdout.isatty())
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        disable=not is_seen,
        redirect_stdout=False,
        redirect_stderr=False,
        transient=True,
    )


def note(text: str) -> None:
    """Print to standard error."""
    click.echo(printable(text), err=True)


def is_agreed(question: str, *, yes: bool) -> bool:
    """Ask for confirmation; UsageError without a terminal and --yes."""
    if yes:
        return True
    if not sys.stdin.isatty():
        raise click.UsageError(f"{question} (not a terminal: pass --yes to confirm)")
    return click.confirm(question, err=True)
