"""The agent's commands.

activate   become a node; what to become stands on standard input
check      list what is missing on this machine
consent    accept or defer versions that are offered: consent accept [APP ...],
           consent defer [APP ...] --until 2h|TIME [--reason TEXT]; without words list them
engine     show the container engine that answers here; status 1 if there is none
run        stay connected, report, run what is desired
status     show the node, its connection, what runs apps here, and the apps
stop       end the agent that runs there; apps go on
try        connect once and report nothing; status 0 if the server answers
uninstall  end and remove everything that the agent has made, and the agent
wait       wait until it has reported in
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Callable, Mapping

import edgesync_agent
from edgesync_agent import agent_process
from edgesync_agent.errors import AgentError

if TYPE_CHECKING:
    from edgesync_agent.runtimes import FindRuntime

# Each command imports what it needs: Python compiles all that is imported, since this is a zip.


def main() -> None:
    """Carry out the command line; what went wrong is one line and status 1."""
    reader = parser()
    arguments = reader.parse_intermixed_args()
    if arguments.words and arguments.command != "consent":
        reader.error(f"{arguments.command} takes no {arguments.words[0]}")
    os.umask(0o077)
    home = arguments.home.absolute()
    try:
        if arguments.command == "activate":
            _activate(home, arguments.ca)
        elif arguments.command == "consent":
            _consent(home, arguments.words, arguments.until, arguments.reason)
        else:
            _commands()[arguments.command](home)
    except AgentError as error:
        sys.exit(f"edgesync: {error}")


def parser() -> argparse.ArgumentParser:
    """What the command line may be; the manual page is made from it."""
    parser = argparse.ArgumentParser(
        "agent.pyz",
        description=f"{__doc__}\n{edgesync_agent.__doc__}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    home = "directory of the agent; ~/.edgesync, or edgesync below $XDG_STATE_HOME"
    parser.add_argument("command", choices=[*_commands(), "consent"])
    parser.add_argument("words", nargs="*", metavar="WORD", help="of the command (consent)")
    parser.add_argument(
        "--home", type=Path, default=_default_home(), metavar="DIRECTORY", help=home
    )
    parser.add_argument("--ca", type=Path, metavar="FILE", help="the server's root (activate)")
    parser.add_argument("--until", default="", metavar="TIME", help="when to ask again (consent)")
    parser.add_argument("--reason", default="", metavar="TEXT", help="why it waits (consent)")
    return parser


def _commands() -> Mapping[str, Callable[[Path], None]]:
    """The commands that need a directory and nothing else."""
    return {
        "activate": _activate,
        "check": _check,
        "engine": _engine,
        "run": _run,
        "status": _status,
        "stop": _stop,
        "try": _try,
        "uninstall": _uninstall,
        "wait": _wait,
    }


def _default_home() -> Path:
    state = os.environ.get("XDG_STATE_HOME")
    return Path(state) / "edgesync" if state else Path.home() / ".edgesync"


def _activate(home: Path, ca: Path | None = None) -> None:
    if ca is None:
        raise AgentError("activate needs --ca")
    from edgesync_agent.activation import activate
    from edgesync_agent.clock import Clock

    print(f"edgesync: this machine is node {activate(home, ca, json.load(sys.stdin), Clock())}")


def _check(home: Path) -> None:
    from edgesync_agent.summary import missing_engine

    missing = missing_engine(_finders(home))
    print(f"edgesync: {missing or 'a container engine answers'}")


def _consent(home: Path, words: list[str], until: str, reason: str) -> None:
    import time

    from edgesync_agent import consent
    from edgesync_agent.summary import offer_words, read_offers

    agent_process.read_identity(home)
    offers = read_offers(home)
    if not words:
        for line in map(offer_words, offers):
            print(line)
        return
    answer = consent.answer_from(words, until, reason, time.time())
    versions = {str(one["name"]): str(one["version"]) for one in offers if one.get("consent")}
    apps = words[1:] or sorted(versions)
    missing = [name for name in apps if name not in versions]
    if missing or not apps:
        of = f" of app {missing[0]}" if missing else ""
        raise AgentError(f"no version{of} waits for consent here")
    consent.record(home, {name: versions[name] for name in apps}, answer)
    for name in apps:
        print(f"edgesync: {name} version {versions[name]} is {answer['answer']}")


def _engine(home: Path) -> None:
    from edgesync_agent.containers import Containers
    from edgesync_agent.engine import find_engine
    from edgesync_agent.runtime import RuntimeFailure

    try:
        print(Containers(find_engine(), "", home).describe())
    except RuntimeFailure as error:
        raise AgentError(str(error)) from error


def _run(home: Path) -> None:
    from edgesync_agent.agent import run

    run(home)


def _status(home: Path) -> None:
    from edgesync_agent.summary import summary

    identity = agent_process.read_identity(home)
    runs = agent_process.is_running(home)
    for line in summary(home, identity, _finders(home), runs=runs):
        print(line)


def _stop(home: Path) -> None:
    print("edgesync: stopped" if agent_process.stop(home) else "edgesync: no agent was running")


def _try(home: Path) -> None:
    from edgesync_agent.trial import try_to_connect

    try_to_connect(home, agent_process.read_identity(home))
    print("edgesync: connected")


def _uninstall(home: Path) -> None:
    from edgesync_agent.removal import remove_apps, remove_home, remove_unit
    from edgesync_agent.volumes import memory_folder

    for line in remove_unit(home):
        print(f"edgesync: {line}")
    _stop(home)
    for line in remove_apps(_finders(home)):
        print(f"edgesync: {line}")
    for line in remove_home(home, [memory_folder(home)]):
        print(f"edgesync: {line}")


def _wait(home: Path) -> None:
    print(f"edgesync: node {agent_process.wait(home)} reports in")


def _finders(home: Path) -> Mapping[str, FindRuntime]:
    from edgesync_agent.apps import runtime_finders

    return runtime_finders(home, agent_process.read_identity(home)["nodeId"])


if __name__ == "__main__":
    main()
