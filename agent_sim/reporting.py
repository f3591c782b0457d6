"""The contents of `report` and `stats`."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from agent_sim.bodies import instances_of
from agent_sim.fetching import AppFetch
from agent_sim.model import HeldApp, NodeFacts, NodeUsage, Status, time_text

INSTANCE_USAGE = {"cpu": "0.01", "memory": "4194304"}
"""Usage of a simulated instance; a constant."""

CORE = {"goVersion": "", "binVersion": "agent_sim", "gitRevision": ""}


def report_content(
    facts: NodeFacts,
    usage: NodeUsage,
    apps: Iterable[HeldApp],
    fetches: Iterable[AppFetch],
    now: datetime,
    properties: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Build a snapshot of everything; what could not be fetched is Failed, unless an older
    version of it is still held. *properties* are left out where they are None."""
    held = sorted(apps, key=lambda app: app.name)
    names = {app.name for app in held}
    lost = [f for f in fetches if f.cause and f.wanted.name not in names]
    content: dict[str, Any] = {
        "time": time_text(now),
        "core": dict(CORE),
        "node": dict(facts.node),
        "nodestats": {"usage": _map(usage), "capacity": _map(facts.capacity)},
    }
    for is_system, prefix in ((False, ""), (True, "sys")):
        mine = [app for app in held if app.is_system is is_system]
        content[f"{prefix}apps"] = [{"name": a.name, "version": a.version} for a in mine]
        content[f"{prefix}appstats"] = [_app_stats(app) for app in mine] + [
            _lost_stats(fetch) for fetch in lost if fetch.wanted.is_system is is_system
        ]
    if properties is not None:
        content["nodeprops"] = dict(properties)
    return content


def stats_content(usage: NodeUsage) -> dict[str, Any]:
    """Build the usage alone."""
    return {"nodestats": {"usage": _map(usage)}}


def _map(usage: NodeUsage) -> dict[str, str]:
    return {"cpu": usage.cpu, "memory": usage.memory}


def _app_stats(app: HeldApp) -> dict[str, Any]:
    started = {} if app.started is None else {"createTime": time_text(app.started)}
    restarts = {"restarts": app.restarts} if app.restarts else {}
    instances = {}
    if app.status is not Status.FAILED:
        for service, name in instances_of(app.body):
            instances[name] = {
                "name": name,
                "serviceName": service,
                "status": app.status.value,
                "cause": "",
                "usage": dict(INSTANCE_USAGE),
                **started,
                **restarts,
            }
    return {
        "name": app.name,
        "version": app.version,
        "status": app.status.value,
        "cause": app.cause,
        "instances": instances,
    }


def _lost_stats(fetch: AppFetch) -> dict[str, Any]:
    return {
        "name": fetch.wanted.name,
        "version": fetch.wanted.version,
        "status": Status.FAILED.value,
        "cause": fetch.cause,
        "instances": {},
    }
