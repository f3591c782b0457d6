"""Prints the names that users, scripts and programs rely on, a line for each: of any version.

Its text is run with the source of a version on the path, and imports nothing but that.
"""

import json
from collections.abc import Iterator
from dataclasses import fields

import click
from click.testing import CliRunner

from cloud.config import Settings
from cloud.core.event import DEVICE_EVENTS
from cloud.core.kinds import KINDS
from edgesync.__main__ import main


def names() -> Iterator[str]:
    """Settings, kinds, events, commands with their options, routes with their parameters."""
    yield from (f"setting {one.name}" for one in fields(Settings))
    yield from (f"kind {kind.name} at {kind.path}" for kind in KINDS)
    yield from (f"event {one}" for one in DEVICE_EVENTS)
    yield from commands("edgesync", main)
    document = json.loads(CliRunner().invoke(main, ["openapi"]).stdout)
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"route {method} {path}"
            for parameter in operation.get("parameters", ()):
                reference = parameter.get("$ref", "").rpartition("/")[2]
                parameter = document["components"]["parameters"].get(reference, parameter)
                yield f"route {method} {path} {parameter['in']} {parameter['name']}"


def commands(words: str, command: click.Command) -> Iterator[str]:
    """Each command below *command*, and its options."""
    yield f"command {words}"
    for parameter in command.params:
        yield from (f"command {words} {flag}" for flag in parameter.opts if flag[0] == "-")
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            if inner is not None:
                yield from commands(f"{words} {name}", inner)


if __name__ == "__main__":
    click.echo("\n".join(sorted(set(names()))))
