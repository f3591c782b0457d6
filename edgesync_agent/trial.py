"""Whether this agent would work here: loads all of itself, connects and is answered once."""

from __future__ import annotations

import importlib
import json
import pkgutil
import time
from pathlib import Path
from typing import Any

import edgesync_agent
from edgesync_agent.clock import Clock, WrongTime
from edgesync_agent.errors import AgentError, HubConnectionLost
from edgesync_agent.https import learn_time
from edgesync_agent.link import AgentLink

PATIENCE = 30.0  # seconds for the answer


def try_to_connect(home: Path, identity: dict[str, Any]) -> None:
    """Ask the server for nothing and wait for its answer; AgentError if none comes.

    Nothing is reported: what the server knows of the node stays that of the agent in its place.
    """
    for module in pkgutil.iter_modules(edgesync_agent.__path__):
        if module.name != "__main__":
            importlib.import_module(f"edgesync_agent.{module.name}")
    clock = Clock()
    try:
        _ask(home, identity, clock)
    except WrongTime:
        learn_time(identity["activation"], home / "identity" / "ca.pem", clock)
        _ask(home, identity, clock)
    except (HubConnectionLost, OSError) as error:
        raise AgentError(f"not connected: {error}") from error


def _ask(home: Path, identity: dict[str, Any], clock: Clock) -> None:
    link = AgentLink(home, identity, home / "identity" / "cert.pem", clock)
    try:
        link.open(identity["nodeId"])
        content: dict[str, Any] = {"infos": []}
        message = {"kind": "desire", "meta": {"x-baetyl-request-id": "trial"}, "content": content}
        link.publish("desire", json.dumps(message).encode())
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            for channel, _ in link.receive(1.0):
                if channel == "desire-response":
                    return
    finally:
        link.close()
    raise AgentError("the server does not answer")
