"""Handlers: a namespace at a glance, how far an app has come, what a node used."""

from collections.abc import Sequence
from decimal import Decimal

from cloud.core.rollout import NodeFailure, Rollout
from cloud.core.times import time_text
from cloud.core.usage import UsagePoint
from cloud.operations import overview, usage
from cloud.rest.call import Call
from cloud.rest.views import View
from cloud.store.interface import Transaction


async def get_overview(call: Call) -> View:
    """`GET /v1/overview`."""
    seen = await call.store.read(lambda tx: overview.overview(tx, call.namespace, now=call.now))
    states = await call.api.costly.count(
        call.namespace, call.store, lambda tx, now: tx.count_states_in(call.namespace, now)
    )
    ends = seen.ends
    return {
        "nodes": {
            "total": sum(states.values()),
            **{state.value: count for state, count in states.items()},
        },
        "apps": [_rollout_view(rollout) for rollout in seen.apps],
        "lastChange": _change_view(seen.apps),
        "activations": {"day": seen.activations_of_day, "hour": seen.activations_of_hour},
        "certificates": {
            "ended": ends.ended,
            "day": ends.day,
            "week": ends.week,
            "month": ends.month,
        },
        "waiting": seen.waiting.nodes,
        "deliveries": seen.waiting.deliveries,
    }


async def get_rollout(call: Call) -> View:
    """`GET /v1/apps/{name}/rollout`."""
    name = call.path("name")

    def read(tx: Transaction) -> tuple[Rollout, Sequence[NodeFailure]]:
        found = overview.rollout_of_app(tx, call.namespace, name)
        return found, overview.failures_of_app(tx, found.app) if found.failed else ()

    rollout, failures = await call.store.read(read)
    app, offline = rollout.app, 0
    if rollout.running < rollout.selected:
        offline = await call.api.costly.count(
            (app.namespace, app.name, app.version),
            call.store,
            lambda tx, now: overview.count_offline(tx, app, now=now),
        )
    return {
        **_rollout_view(rollout),
        "offline": min(offline, rollout.selected - rollout.running),
        "failures": [{"node": one.node, "cause": one.cause} for one in failures],
    }


async def get_usage(call: Call) -> View:
    """`GET /v1/nodes/{name}/usage`: the oldest first."""
    name = call.path("name")
    points = await call.store.read(
        lambda tx: usage.usage_of_node(tx, call.namespace, name, now=call.now)
    )
    step = call.api.usage_step.total_seconds()
    return {"step": int(step), "items": [_point_view(point) for point in points]}


def _rollout_view(rollout: Rollout) -> View:
    return {
        "name": rollout.app.name,
        "version": rollout.app.version,
        "selected": rollout.selected,
        "running": rollout.running,
        "failed": rollout.failed,
        "pending": rollout.pending,
        "versions": [{"version": version, "nodes": nodes} for version, nodes in rollout.versions],
    }


def _change_view(apps: Sequence[Rollout]) -> View | None:
    if not apps:
        return None
    last = apps[0]
    return {
        "app": last.app.name,
        "version": last.app.version,
        "time": time_text(last.app.updated),
        "selected": last.selected,
        "converged": last.running,
        "failed": last.failed,
        "pending": last.pending,
    }


def _point_view(point: UsagePoint) -> View:
    return {
        "time": time_text(point.time),
        "cpu": _scaled(point.cpu, 3),
        "memory": point.memory,
        "cpuPercent": _scaled(point.cpu_part, 4),
        "memoryPercent": _scaled(point.memory_part, 4),
    }


def _scaled(number: int | None, digits: int) -> float | None:
    return None if number is None else float(Decimal(number).scaleb(-digits))
