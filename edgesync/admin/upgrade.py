"""`edgesync upgrade check`: what an upgrade to this version would do, before it is done."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import click

from cloud.config import BadSettings
from cloud.core.versions import are_neighbours, is_older_agent
from cloud.errors import Unavailable
from cloud.settings_sources import load_settings
from cloud.store.backup import SETTINGS_FILE
from cloud.store.upgrade_check import UpgradeFacts, upgrade_facts
from cloud.wiring import now_utc
from edgesync import version
from edgesync.admin.data_dir_option import data_dir_option
from edgesync.admin.database_option import chosen_database, database_option
from edgesync.cli.output import printable, show_table, size

_AGENTS_SHOWN = 5


class Level(StrEnum):
    """How much a finding matters: with an error the upgrade is not to be done."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class UpgradeFinding:
    """One line of the result."""

    level: Level
    about: str
    text: str


@click.group()
def upgrade() -> None:
    """Check an upgrade before it is done."""


@upgrade.command()
@data_dir_option()
@database_option
@click.option(
    "--config",
    "file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    envvar="EDGESYNC_CONFIG",
    help="Settings that the server will start with.  [default: those of its last start]",
)
@click.option(
    "--backup-dir",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Where the backup before the upgrade will be written.  [default: the data directory]",
)
def check(*, data_dir: Path, database: str, file: Path | None, backup_dir: Path | None) -> None:
    """Print what an upgrade of a server to the version of this command would do.

    Run the command of the new version beside the running server; nothing is changed. Exits with 1
    if there is an error.
    """
    chosen = chosen_database(data_dir, database)
    try:
        facts = upgrade_facts(chosen, now_utc())
        bytes_of_database = chosen.size()
    except Unavailable as error:
        raise click.ClickException(error.reason) from error
    findings = [
        *_schema(facts),
        *_servers(facts),
        *_agents(facts),
        *_settings(file or data_dir / SETTINGS_FILE, is_named=file is not None),
        *_disk(bytes_of_database, backup_dir or data_dir),
    ]
    rows = [[one.level.value, one.about, printable(one.text)] for one in findings]
    show_table(["RESULT", "ABOUT", "DETAIL"], rows)
    if any(one.level is Level.ERROR for one in findings):
        raise click.exceptions.Exit(1)


def _schema(facts: UpgradeFacts) -> Iterator[UpgradeFinding]:
    about = "schema"
    if facts.unknown:
        text = f"a newer version has written the database: it took {facts.unknown[-1]}"
        yield UpgradeFinding(Level.ERROR, about, text)
    elif not facts.pending:
        yield UpgradeFinding(Level.OK, about, "no migration; roll back without a backup")
    else:
        rows = sum(facts.pending.values())
        names = ", ".join(facts.pending)
        text = f"{len(facts.pending)} steps, {rows} rows, about {facts.seconds} s: {names}"
        yield UpgradeFinding(Level.OK, about, text)


def _servers(facts: UpgradeFacts) -> Iterator[UpgradeFinding]:
    own = version()
    running = [(f"server {one.name}", one.version, True) for one in facts.servers]
    for about, found, is_running in running or [("last start", facts.last_version, False)]:
        fits = are_neighbours(found, own)
        if fits is None:
            text = (
                "its version is not recorded: upgrade one server at a time from the minor version"
            )
            yield UpgradeFinding(Level.WARNING, about, f"{text} before {own} only")
        elif fits or not is_running:
            yield UpgradeFinding(Level.OK, about, f"{found} -> {own}")
        else:
            text = f"{found} does not work beside {own}: stop all servers for the upgrade"
            yield UpgradeFinding(Level.ERROR, about, text)


def _agents(facts: UpgradeFacts) -> Iterator[UpgradeFinding]:
    older = {agent: count for agent, count in facts.agents.items() if is_older_agent(agent)}
    for agent, count in sorted(older.items())[:_AGENTS_SHOWN]:
        text = f"{count} nodes with {agent}, older than this version works with: update-agent"
        yield UpgradeFinding(Level.WARNING, "node agents", text)
    if not older:
        yield UpgradeFinding(Level.OK, "node agents", f"{sum(facts.agents.values())} nodes")


def _settings(file: Path, *, is_named: bool) -> Iterator[UpgradeFinding]:
    about = "settings"
    warnings: list[str] = []
    try:
        there = file if is_named or file.exists() else None
        load_settings({}, os.environ, there, warn=warnings.append)
    except BadSettings as error:
        yield UpgradeFinding(Level.ERROR, about, str(error))
        return
    for text in warnings:
        yield UpgradeFinding(Level.WARNING, about, text)
    if not warnings:
        yield UpgradeFinding(Level.OK, about, f"{there or 'environment'}: no deprecated names")


def _disk(needed: int, directory: Path) -> Iterator[UpgradeFinding]:
    """A backup is compressed: it has at most the size of the database."""
    free = shutil.disk_usage(directory).free
    level = Level.OK if free > needed else Level.ERROR
    text = f"a backup needs up to {size(needed)}, {directory} has {size(free)} free"
    yield UpgradeFinding(level, "disk", text)
