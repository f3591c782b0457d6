"""The page of commands has the help of each command."""

import os
import re
import textwrap
from collections.abc import Iterator

import click

from edgesync.__main__ import COMMANDS, main
from tests.repo.tracked import ROOT, text_of

PAGE = ROOT / "docs" / "cli.md"
MARK = "<!-- What follows is made from the commands"
UPDATES = "EDGESYNC_TEST_UPDATE_GOLDEN"
COMMON = {"--url", "--ca", "--token-file", "--context", "--namespace", "--help"}
"""Options of all commands, listed once at the top of the page."""


def asking() -> Iterator[tuple[str, click.Command]]:
    """Commands that ask a server, those of groups by their whole name."""
    for name, (place, _) in COMMANDS.items():
        if "edgesync.cli." not in place and name != "audit":
            continue
        command = main.get_command(click.Context(main), name)
        assert command is not None
        yield from walked(name, command)


def walked(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    if not isinstance(command, click.Group):
        yield name, command
        return
    for each in command.list_commands(click.Context(command)):
        inner = command.get_command(click.Context(command), each)
        assert inner is not None
        yield from walked(f"{name} {each}", inner)


def section(name: str, command: click.Command) -> str:
    """The section of one command."""
    context = click.Context(command, info_name=name)
    usage = " ".join(["edgesync", name, *command.collect_usage_pieces(context)])
    text = re.sub(r"\s*\n(?!\n)\s*", " ", command.help or "").replace("\n ", "\n\n")
    wrapped = [
        textwrap.fill(one, 120, break_on_hyphens=False) for one in text.strip().split("\n\n")
    ]
    lines = [f"## edgesync {name}", "", f"`{usage}`", "", "\n\n".join(wrapped), ""]
    options = [one for one in command.params if isinstance(one, click.Option)]
    rows = [one.get_help_record(context) for one in options if not COMMON & set(one.opts)]
    shown = [(flags, words) for flags, words in filter(None, rows) if "--help" not in flags]
    if shown:
        lines += ["| option | |", "|---|---|"]
        lines += [f"| `{cell(flags)}` | {cell(words)} |" for flags, words in shown]
        lines.append("")
    return "\n".join(lines)


def cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", "\\|").strip()


def test_every_command_is_on_the_page_as_it_is() -> None:
    head, mark, rest = text_of(PAGE).partition(MARK)
    line, _, text = rest.partition("\n")
    wanted = "\n" + "\n".join(section(name, command) for name, command in asking())
    if os.environ.get(UPDATES):
        PAGE.write_text(f"{head}{mark}{line}\n{wanted}", encoding="utf-8")
        return
    assert text == wanted
