"""`edgesync convert`: turn descriptions that other programs use into manifests."""

import os
from pathlib import Path

import click

from edgesync.cli.output import printable, yaml_of
from edgesync.compose.files import valid_name
from edgesync.compose.project import convert_project
from edgesync.compose.source import ComposeError, ComposeFile, ComposeNote, read_source
from edgesync.compose.variables import interpolated, read_variables

VOLUMES_FOLDER = "/var/lib/edgesync/volumes"
"""Where named volumes lie on a node unless another folder is given."""

FILE_LIMIT = 4 * 1024 * 1024
"""Bytes of a Compose file."""


@click.group()
def convert() -> None:
    """Convert other formats to manifests, without a server."""


@convert.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("services", nargs=-1, metavar="[SERVICE]...")
@click.option("--name", default="", help="Name of the app.  [default: the project's]")
@click.option("--selector", default="", help="Nodes that run the app, such as role=gateway.")
@click.option("--profile", "profiles", multiple=True, help="Profile to enable; * for all.")
@click.option(
    "--env-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Variables for ${NAME}.  [default: .env beside FILE]",
)
@click.option(
    "--volumes-folder",
    default=VOLUMES_FOLDER,
    show_default=True,
    help="Directory of a node in which named volumes lie.",
)
@click.option("--strict", is_flag=True, help="Exit with 1 if anything is not converted.")
def compose(
    file: Path,
    services: tuple[str, ...],
    name: str,
    selector: str,
    profiles: tuple[str, ...],
    env_file: Path | None,
    volumes_folder: str,
    *,
    strict: bool,
) -> None:
    """Convert a docker-compose FILE to manifests.

    One app with all services, or with each SERVICE and what it depends on, and the configs and
    secrets they mount. What cannot be carried over, or means something else in a detail, is listed
    on standard error with its line.
    """
    try:
        variables = _variables(file, env_file)
        source = _read(file, variables)
        project = convert_project(
            source,
            app=valid_name(name or str(source.data.get("name") or file.resolve().parent.name)),
            selector=selector,
            profiles=frozenset(profiles),
            only=services,
            volumes_folder=volumes_folder,
            variables=variables,
        )
    except (ComposeError, ValueError, RecursionError) as error:
        raise click.ClickException(printable(str(error))) from error
    click.echo("---\n".join(yaml_of(manifest) for manifest in project.manifests), nl=False)
    for note in project.notes:
        click.echo(_line(file, note), err=True)
    if not selector:
        click.echo("No --selector: the app selects no nodes until it has one.", err=True)
    if strict and any(note.is_loss for note in project.notes):
        raise click.exceptions.Exit(1)


def _read(file: Path, variables: dict[str, str]) -> ComposeFile:
    with file.open("rb") as opened:
        content = opened.read(FILE_LIMIT + 1)
    if len(content) > FILE_LIMIT:
        raise ComposeError(f"{file}: more than {FILE_LIMIT} bytes")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ComposeError(f"{file}: is not UTF-8: {error.reason}") from error
    return read_source(file, text, lambda value: interpolated(value, variables))


def _variables(file: Path, env_file: Path | None) -> dict[str, str]:
    """Those of the env file, under those of the environment, as in Compose."""
    place = env_file or file.parent / ".env"
    found: dict[str, str | None] = {}
    if place.is_file():
        try:
            found = read_variables(place.read_text(encoding="utf-8"), os.environ)
        except ValueError as error:
            raise ComposeError(f"{place}: {error}") from error
    return {**{name: value for name, value in found.items() if value is not None}, **os.environ}


def _line(file: Path, note: ComposeNote) -> str:
    word = "lost" if note.is_loss else "differs"
    return printable(f"{file}:{note.line}: {word}: {note.path}: {note.text}")
