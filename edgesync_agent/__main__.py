"""The agent's commands.

activate  become a node; what to become stands on standard input
run       stay connected, report, take what is wanted
stop      end the agent that runs there
try       connect once and report nothing; status 0 if the server answers
wait      wait until it has reported in
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

import edgesync_agent
from edgesync_agent import agent
from edgesync_agent.activation import activate
from edgesync_agent.clock import Clock
from edgesync_agent.errors import Trouble
from edgesync_agent.trial import try_to_connect


def main() -> None:
    """Carry out the command line; what went wrong is one line and status 1."""
    parser = argparse.ArgumentParser(
        "agent.pyz",
        description=f"{__doc__}\n{edgesync_agent.__doc__}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=["activate", "run", "stop", "try", "wait"])
    parser.add_argument("--home", type=Path, default=Path.home() / ".edgesync", metavar="DIRECTORY")
    parser.add_argument("--ca", type=Path, metavar="FILE", help="the server's root (activate)")
    arguments = parser.parse_args()
    os.umask(0o077)
    try:
        _carry_out(arguments.command, arguments.home, arguments.ca)
    except Trouble as error:
        sys.exit(f"edgesync: {error}")


def _carry_out(command: str, home: Path, ca: Path | None) -> None:
    if command == "activate":
        if ca is None:
            raise Trouble("activate needs --ca")
        print(f"edgesync: this machine is node {activate(home, ca, json.load(sys.stdin), Clock())}")
    elif command == "run":
        agent.run(home)
    elif command == "try":
        try_to_connect(home, agent.read_identity(home))
        print("edgesync: connected")
    elif command == "stop":
        print("edgesync: stopped" if agent.stop(home) else "edgesync: no agent was running")
    else:
        print(f"edgesync: node {agent.wait(home)} reports in")


if __name__ == "__main__":
    main()
