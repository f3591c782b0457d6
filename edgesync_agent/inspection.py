"""What an engine's answers about containers mean: pure."""

from __future__ import annotations

import calendar
import time
from types import MappingProxyType
from typing import Any, Mapping, NamedTuple

from edgesync_agent import container_spec as naming
from edgesync_agent.runtime import CREATED, EXITED, RESTARTING, RUNNING, Instance

STATES = {
    "created": CREATED,
    "configured": CREATED,
    "initialized": CREATED,
    "running": RUNNING,
    "paused": RUNNING,
    "stopping": RUNNING,
    "restarting": RESTARTING,
    "exited": EXITED,
    "stopped": EXITED,
    "dead": EXITED,
}
LOCAL = "127.0.0.1"


class Reachability(NamedTuple):
    """How a container is reached, by which port of the node for each of its own, and its health."""

    address: str = ""
    ports: Mapping[int, int] = MappingProxyType({})
    health: str = ""


def instance_of(seen: Mapping[str, Any]) -> Instance | None:
    """The instance that an engine describes; None for one that is being removed, or is not ours."""
    labels = (seen.get("Config") or {}).get("Labels") or {}
    slot, state = naming.slot_in(labels), seen.get("State") or {}
    word = STATES.get(str(state.get("Status", "")).lower())
    if slot is None or word is None:
        return None
    return Instance(
        key=str(seen["Id"]),
        slot=slot,
        version=str(labels.get(naming.VERSION, "")),
        state=word,
        created=moment_of(seen.get("Created")),
        started=moment_of(state.get("StartedAt")),
        finished=moment_of(state.get("FinishedAt")),
        exit_code=int(state.get("ExitCode") or 0),
        out_of_memory=bool(state.get("OOMKilled")),
        error=str(state.get("Error") or "")[:500],
        restarts=int(seen.get("RestartCount") or 0),
    )


def moment_of(text: Any) -> float:
    """Seconds since 1970 of a time as engines write it; 0 for none."""
    words = str(text or "")
    try:
        whole = float(calendar.timegm(time.strptime(words[:19], "%Y-%m-%dT%H:%M:%S")))
    except ValueError:
        return 0.0
    fraction, rest = "", words[19:]
    if rest.startswith("."):
        digits = len(rest[1:]) - len(rest[1:].lstrip("0123456789"))
        fraction, rest = rest[1 : 1 + digits], rest[1 + digits :]
    if rest[:1] in {"+", "-"} and len(rest) >= 6:
        offset = int(rest[1:3]) * 3600 + int(rest[4:6]) * 60
        whole -= offset if rest[0] == "+" else -offset
    return max(whole + float(f"0.{fraction or 0}"), 0.0)


def reach_of(seen: Mapping[str, Any]) -> Reachability:
    """How the container that an engine describes is reached."""
    settings, state = seen.get("NetworkSettings") or {}, seen.get("State") or {}
    addresses = [one.get("IPAddress") for one in (settings.get("Networks") or {}).values()]
    if (seen.get("HostConfig") or {}).get("NetworkMode") == "host":
        addresses = [LOCAL]
    ports = {}
    for name, bindings in (settings.get("Ports") or {}).items():
        number, _, protocol = name.partition("/")
        for binding in (bindings or ()) if protocol == "tcp" else ():
            ports[int(number)] = int(binding["HostPort"])
    found = state.get("Health") or state.get("Healthcheck") or {}
    health = str(found.get("Status") or "")
    return Reachability(
        next(filter(None, addresses), ""), ports, "" if health == "none" else health
    )


def memory_of(stats: Mapping[str, Any]) -> int:
    """As `docker stats` counts: without the file cache that can be dropped (cgroups 1 and 2)."""
    details = stats.get("stats") or {}
    cache = details.get("total_inactive_file", details.get("inactive_file", 0)) or 0
    return max(int(stats.get("usage") or 0) - int(cache), 0)
