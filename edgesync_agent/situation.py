"""The inputs and outputs of `reconcile`: plain values.

Moments are seconds of one clock that does not go back; `Instance` alone has times since 1970.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import Mapping, Sequence

from edgesync_agent.runtime import INIT, LIVE, Instance, Slot, Step
from edgesync_agent.spec import JOB, NATIVE, PROGRAM_PATH, AppDefinition, ServiceDefinition


@dataclass(frozen=True)
class Failure:
    """Why a version does not run; *seconds* after it began, *log* the last lines of its output.

    *exit_code* is -1 where nothing has ended. *instance* is the key of the one that failed.
    """

    version: str
    reason: str
    message: str
    service: str = ""
    exit_code: int = -1
    seconds: int = 0
    log: str = ""
    instance: str = ""


@dataclass(frozen=True)
class AppMemory:
    """The record of an app across restarts of the agent; written before steps are taken.

    *live* is the version whose instances are to run, *good* the last one that was healthy, *failed*
    the one that was given up: it is not tried again. *finished* holds what ran to its end and is
    not to run again: init services and jobs (`finished_key`).
    """

    live: str = ""
    good: str = ""
    failed: str = ""
    failure: Failure | None = None
    finished: tuple[str, ...] = ()
    held: tuple[str, ...] = ()


@dataclass(frozen=True)
class Health:
    """The results of the probes of a running instance; `probes` has the rules.

    *ready_since* is None while it is not ready. *lapse*: it has to be started again, as a
    `Reason`, and *message* what the last check that failed found.
    """

    ready_since: float | None = None
    lapse: str = ""
    message: str = ""


@dataclass(frozen=True)
class Attempts:
    """How often the instance of a slot failed, and how at last; *run* is the last one counted."""

    count: int = 0
    at: float = 0.0
    reason: str = ""
    message: str = ""
    exit_code: int = -1
    run: tuple[str, float, int] = ("", 0.0, 0)  # key, start and engine's restarts


@dataclass(frozen=True)
class FetchState:
    """How far a version is: *is_here*, or not, with the failure of the last attempt."""

    is_here: bool = False
    is_running: bool = False
    failure: Failure | None = None
    not_before: float = 0.0


@dataclass(frozen=True)
class Situation:
    """One app: what is desired, what is known and what there is.

    *desired* is None for an app that is to go. *releases* holds the versions on this node.
    *files* is the version that the volumes show; *phase* and *since* are those of the last plan.
    """

    name: str
    desired: AppDefinition | None
    releases: Mapping[str, AppDefinition]
    memory: AppMemory
    instances: Sequence[Instance]
    now: float
    health: Mapping[str, Health] = field(default_factory=dict)
    attempts: Mapping[Slot, Attempts] = field(default_factory=dict)
    fetches: Mapping[str, FetchState] = field(default_factory=dict)
    files: str = ""
    phase: str = ""
    since: float = 0.0
    settle: float = 3.0  # seconds that a service without probes has to run


@dataclass(frozen=True)
class AppPlan:
    """The record to write, then the steps to take, in this order; *memory* None: forget the app.

    *wake* is when to look again at the latest, without another reason. *notes* are for the log;
    *drift* names services whose instances are gone without the agent's doing.
    """

    memory: AppMemory | None
    steps: Sequence[Step]
    attempts: Mapping[Slot, Attempts]
    phase: str
    since: float
    wake: float | None = None
    notes: Sequence[str] = ()
    drift: Sequence[str] = ()


def spec_digest(app: AppDefinition, service: ServiceDefinition) -> str:
    """Text that is another one wherever the instance has to be made anew.

    Probes, replicas and the content of configs and secrets are not part of it: those change
    without a restart. A file mounted by its path in a volume cannot be switched, and neither can
    the program of a host process, so the version of those is.
    """
    parts = asdict(service)
    for name in ("startup", "liveness", "readiness", "replicas", "pull_policy"):
        del parts[name]
    restart = parts.pop("restart")
    parts["restart"] = [restart["policy"], restart["retries"], restart["has_own_backoff"]]
    volumes = {}
    for mount in service.mounts:
        volume = asdict(app.volume(mount.volume))
        if not mount.sub_path and not (app.mode == NATIVE and mount.path == PROGRAM_PATH):
            del volume["version"]
        volumes[mount.volume] = volume
    text = json.dumps([app.mode, app.workload, parts, volumes], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def live_slots(app: AppDefinition) -> Sequence[Slot]:
    """The instances that serve while the app runs, in the order of their start."""
    slots = []
    for service in app.services:
        count = app.job.completions if app.workload == JOB else service.replicas
        digest = spec_digest(app, service)
        slots += [Slot(app.name, service.name, number, LIVE, digest) for number in range(count)]
    return slots


def init_slots(app: AppDefinition) -> Sequence[Slot]:
    """The init services, which end well before the services start; again after any change."""
    whole = "".join(spec_digest(app, one) for one in (*app.init_services, *app.services))
    digest = hashlib.sha256(whole.encode()).hexdigest()[:16]
    return [Slot(app.name, one.name, 0, INIT, digest) for one in app.init_services]


def slot_key(slot: Slot) -> str:
    """How `AppMemory` names a slot."""
    return f"{slot.stage}/{slot.service}/{slot.replica}/{slot.digest}"


def service_of(app: AppDefinition, slot: Slot) -> ServiceDefinition:
    """The service that *slot* is an instance of."""
    services = app.init_services if slot.stage == INIT else app.services
    return next(service for service in services if service.name == slot.service)
