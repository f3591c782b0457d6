"""A group of commands whose modules are imported when they are run.

`edgesync --help` and shell completion of names import none of them: loading the server for that
took 1.0 s of CPU, and now takes 0.1 s.
"""

import gc
import sys
from collections.abc import Mapping
from difflib import get_close_matches
from importlib import import_module
from typing import Any

import click

from edgesync.client.errors import ClientError

_NOT_ON_WINDOWS = frozenset({"uvloop", "fcntl", "resource", "pwd"})
"""Modules that servers and simulated nodes need; commands that ask a server do without."""

_LEAST_LIKENESS = 0.6


class LazyGroup(click.Group):
    """Has the commands of *places* too: by name, `MODULE:ATTRIBUTE` and one line of help each."""

    def __init__(
        self, *arguments: Any, places: Mapping[str, tuple[str, str]], **named: Any
    ) -> None:
        super().__init__(*arguments, **named)
        self._places = places

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, in the order of the alphabet."""
        return sorted({*super().list_commands(ctx), *self._places})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, imported now; None if there is none."""
        place = self._places.get(cmd_name)
        if place is None:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = place[0].partition(":")
        is_loaded = module in sys.modules
        gc.disable()  # modules leave no garbage
        try:
            command: click.Command = getattr(import_module(module), attribute)
        except ModuleNotFoundError as error:
            if error.name not in _NOT_ON_WINDOWS:
                raise
            raise click.ClickException(f"{cmd_name} runs on Linux and macOS only") from error
        finally:
            if not is_loaded:
                gc.freeze()  # or the first collection looks through all of them: 0.07 s of a server
            gc.enable()
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """As in `Group`; errors of the client are shown with a hint."""
        try:
            return super().invoke(ctx)
        except ClientError as error:
            from edgesync.cli.hints import shown_error  # loads httpx

            raise shown_error(error) from error

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As in `Group`; for an unknown command the error names the one that is most like it."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            likely = get_close_matches(args[0], self.list_commands(ctx), 1, _LEAST_LIKENESS)
            if not likely or repr(likely[0]) in error.message:
                raise
            message = f"{error.message.rstrip('.')}. Did you mean {likely[0]!r}?"
            raise click.UsageError(message, ctx=error.ctx) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write name and help of each command, without importing those of *places*."""
        limit = formatter.width - 6 - max(map(len, self.list_commands(ctx)))
        rows = []
        for name in self.list_commands(ctx):
            place = self._places.get(name)
            own = None if place else super().get_command(ctx, name)
            command = click.Command(name, help=place[1]) if place else own
            if command is not None and not command.hidden:
                rows.append((name, command.get_short_help_str(limit)))
        with formatter.section("Commands"):
            formatter.write_dl(rows)
