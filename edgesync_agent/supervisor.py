"""Runs the desired apps: looks at the runtimes, asks `reconcile`, and has its steps carried out.

One thread looks; the steps of an app have one each (`steps`), and so have fetching (`fetching`:
pulls take minutes) and probes (`probes`). The thread of the connection only sets what is desired
(`desire`) and reads `statuses`, so that it never waits.
"""

from __future__ import annotations

import queue
import threading
import time
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Callable, Mapping, Sequence

from edgesync_agent.attempts import charged
from edgesync_agent.fetching import Fetcher
from edgesync_agent.fields import SpecError
from edgesync_agent.reconcile import STEADY, reconcile
from edgesync_agent.releases import Releases
from edgesync_agent.runtime import (
    LIVE,
    RUNNING,
    FailureReason,
    Instance,
    Runtime,
    RuntimeFailure,
    Slot,
    Step,
    Stop,
)
from edgesync_agent.runtimes import FindRuntime, Runtimes
from edgesync_agent.situation import (
    AppMemory,
    AppPlan,
    Attempts,
    Failure,
    FetchState,
    Situation,
    live_slots,
    slot_key,
)
from edgesync_agent.spec import AppDefinition
from edgesync_agent.status import PENDING_STATUS, app_status, essence, without_instances
from edgesync_agent.steps import StepExecutor
from edgesync_agent.volumes import Volumes

INTERVAL = 5.0  # seconds from look to look where nothing happens
BUSY_INTERVAL = 0.5  # while a version is on its way
APPS_AT_ONCE = 4  # whose steps are being taken
LOG_LINES, LOG_LIMIT = 20, 4000  # lines and characters of what failed, in the report

Refuse = Callable[[AppDefinition], str]
"""Why the owner of this machine does not want an app; empty where it may run."""


class _App:
    """The state of an app as long as the agent runs."""

    def __init__(self, memory: AppMemory) -> None:
        self.memory = memory  # as it is on disk
        self.attempts: Mapping[Slot, Attempts] = {}
        self.phase, self.since = "", 0.0
        self.entry: dict[str, Any] = {}  # of the report; empty: none
        self.is_busy = False  # whether steps are being taken
        self.changed_at = -1.0  # when the last of them was
        self.drift: dict[str, str] = {}  # the last instance that was gone, for the report


@dataclass(frozen=True)
class _Wanted:
    """The version to bring about, None for none; *refusal* states why it is not the desired one."""

    app: AppDefinition | None
    refusal: Failure | None = None


class Supervisor:
    """Runs apps by runtimes; *changed* is called when there is something to report at once."""

    def __init__(
        self,
        releases: Releases,
        volumes: Volumes,
        finders: Mapping[str, FindRuntime],
        note: Callable[[str], None],
        *,
        changed: Callable[[], None] = lambda: None,
        refuse: Refuse = lambda _app: "",
        settle: float = 3.0,
        interval: float = INTERVAL,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.releases = releases
        self.volumes = volumes
        self.note = note
        self.changed = changed
        self.refuse = refuse
        self.settle = settle  # seconds that a service without probes has to run
        self.interval = interval  # seconds from look to look where nothing happens
        self.clock = clock
        self.restarts: queue.SimpleQueue[str] = queue.SimpleQueue()  # asked for by operators
        self.observed_at = 0.0  # when the last look at the runtimes began
        self.lock = threading.Lock()  # for what several steps of an app change
        self.hands = threading.Semaphore(APPS_AT_ONCE)
        self.woken = threading.Event()
        self.is_ended = False
        # None until the server has sent it, now or before an earlier start.
        self.desired: dict[str, str] | None = releases.desired()
        self.offered: dict[str, str] = {}  # versions that are to be here, and not to run
        self.apps: dict[str, _App] = {}
        self.runtimes = Runtimes(finders, note, self.woken.set, clock)
        self.fetcher = Fetcher(releases, volumes, self.runtimes.found, note, self._fetched, clock)
        self.executor = StepExecutor(
            releases, volumes, self.runtimes, self.fetcher, note, self._all_kept
        )
        self.thread = threading.Thread(target=self._run, name="supervisor", daemon=True)

    def start(self) -> None:
        """Begin; `close` ends it."""
        self.fetcher.thread.start()
        self.thread.start()

    def close(self) -> None:
        """End the threads; what runs goes on."""
        self.is_ended = True
        self.woken.set()
        self.fetcher.close()
        self.runtimes.close()

    # for the thread of the connection

    def desire(self, versions: Mapping[str, str]) -> None:
        """Take over what the server wants; what is not here yet is waited for."""
        if self.desired != dict(versions):
            self.releases.keep_desired(versions)
            self.desired = dict(versions)
            self.woken.set()

    def prepare(self, versions: Mapping[str, str]) -> None:
        """Fetch what versions need that are offered, and run none of them."""
        if self.offered != dict(versions):
            self.offered = dict(versions)
            self.woken.set()

    def is_prepared(self, name: str, version: str) -> bool:
        """Whether all is here that an offered version needs."""
        return self.fetcher.states_of(name).get(version, FetchState()).is_here

    def arrived(self) -> None:
        """A version is here now."""
        self.woken.set()

    def statuses(self) -> list[dict[str, Any]]:
        """The entries of the report's `appstats`, by name; also of apps that are to go."""
        known = [app for _, app in sorted(dict(self.apps).items()) if app.entry]
        return [{**app.entry, **({"drift": app.drift} if app.drift else {})} for app in known]

    def take_stale(self) -> set[tuple[str, str]]:
        """Versions whose bodies have to be asked for again, each once."""
        return self.fetcher.take_stale()

    def drift_reported(self, times: Mapping[str, str]) -> None:
        """The server knows what was gone, by app and time: it is not named again."""
        for name, moment in times.items():
            app = self.apps.get(name)
            if app is not None and app.drift.get("time") == moment:
                app.drift = {}

    def runtime_name(self) -> str:
        """`containerRuntime` of the report."""
        return self.runtimes.describe()

    def restart(self, name: str) -> bool:
        """Have an app started again, and a version that failed tried again; whether there is one.

        It is done by the thread that looks after the apps, at its next look.
        """
        if name not in self.apps:
            return False
        self.restarts.put(name)
        self.woken.set()
        return True

    def find(self, name: str, service: str = "") -> tuple[Runtime, Sequence[Instance]] | None:
        """The instances of an app and what runs them; None where there are none."""
        for mode, runtime in self.runtimes.found.items():
            own = [one for one in self.runtimes.instances.get(mode, ()) if one.slot.app == name]
            own = [one for one in own if service in {"", one.slot.service}]
            if own:
                return runtime, own
        return None

    def _restart(self, name: str) -> None:
        app = self.apps.get(name)
        if app is None:
            return
        live = [one for one in self.runtimes.instances_of(name) if one.slot.stage == LIVE]
        keys = tuple(slot_key(one.slot) for one in live)
        memory = replace(app.memory, failed="", failure=None, finished=(), held=keys)
        self._remember(name, app, memory)
        app.attempts = {}
        self.fetcher.forget(name)
        self._begin(name, app, [Stop(one) for one in reversed(live) if one.state == RUNNING])

    # one look

    def _run(self) -> None:
        while not self.is_ended:
            pause = BUSY_INTERVAL
            try:
                pause = self.look()
            except Exception as error:  # noqa: BLE001  # the apps have to be looked after
                self.note(f"cannot look after the apps: {error!r}")
            self.woken.wait(pause)
            self.woken.clear()

    def look(self) -> float:
        """Look at everything and begin what is to be done; seconds until the next look.

        Steps are taken in threads: one app that ends slowly holds up no other.
        """
        self.observed_at = self.clock()
        self.runtimes.observe(self._definition)
        for _ in range(self.restarts.qsize()):
            name = self.restarts.get()
            if name in self.apps and self.apps[name].is_busy:
                self.restarts.put(name)
            else:
                self._restart(name)
        wakes = [self.interval]
        for name in self._names():
            self._tend(name, wakes)
        self._fetch_offered()
        self.runtimes.measure()
        return max(min(wakes), 0.05)

    def _fetch_offered(self) -> None:
        """Begin to fetch what offered versions need, also again after a failure."""
        for name, version in self.offered.items():
            app = self.releases.find(name, version)
            if app is None or app.mode not in self.runtimes.found or self.refuse(app):
                continue
            state = self.fetcher.states_of(name).get(version, FetchState())
            if not (state.is_here or state.is_running) and self.clock() >= state.not_before:
                self.fetcher.begin(name, version)

    def _fetched(self) -> None:
        self.woken.set()
        if self.offered:
            self.changed()

    def _names(self) -> list[str]:
        if self.desired is None:
            return []  # nothing is known yet: what runs goes on
        names = {*self.releases.names()} - {*self.offered}
        names |= {*self.desired, *self.apps}
        found = self.runtimes.instances.values()
        return sorted(names | {one.slot.app for instances in found for one in instances})

    def _definition(self, instance: Instance) -> AppDefinition | None:
        """The version by which an instance is probed: the live one where it is part of that."""
        name = instance.slot.app
        live = self.apps[name].memory.live if name in self.apps else ""
        for version in (live, instance.version):
            app = self.releases.find(name, version)
            is_part = app is not None and instance.slot in live_slots(app)
            if app is not None and (is_part or version == instance.version):
                names = {one.name for one in (*app.services, *app.init_services)}
                return app if instance.slot.service in names else None
        return None

    def _tend(self, name: str, wakes: list[float]) -> None:
        """Begin the next steps of one app, unless some are being taken."""
        app = self.apps.get(name)
        if app is None:
            app = self.apps[name] = _App(self.releases.memory(name))
        if app.is_busy or app.changed_at >= self.observed_at:
            wakes.append(BUSY_INTERVAL)  # what was seen of it is older than what was done
            return
        wanted = self._wanted(name, app)
        version = (self.desired or {}).get(name, "")
        if wanted.app is None and version:
            found = wanted.refusal and without_instances(name, version, wanted.refusal)
            self._report(app, found or {})
            return
        mode = wanted.app.mode if wanted.app else self.runtimes.mode_of(name)
        runtime = self.runtimes.found.get(mode)
        if runtime is None and (wanted.app or self.runtimes.instances_of(name)):
            failure = Failure(version, FailureReason.NO_RUNTIME, self.runtimes.why_absent(mode))
            self._report(app, without_instances(name, version, failure, PENDING_STATUS))
            return
        situation = self._situation(name, app, wanted.app)
        plan = reconcile(situation)
        self._accept(name, app, plan)
        if plan.memory is not None:
            plan = replace(plan, memory=app.memory)
            entry = app_status(situation, plan, self.runtimes.used)
            if wanted.refusal is not None:
                refused = without_instances(name, version, wanted.refusal)
                kept = {"instances": entry["instances"], "running": app.memory.live}
                entry = {**refused, **kept}
            self._report(app, entry)
        is_on_its_way = not plan.phase.startswith(STEADY)
        wakes.append(BUSY_INTERVAL if is_on_its_way else self.interval)
        if plan.wake is not None:
            wakes.append(plan.wake - situation.now)
        self._begin(name, app, plan.steps, is_last=plan.memory is None)

    def _wanted(self, name: str, app: _App) -> _Wanted:
        """The desired version; the live one while that is not here, or is refused."""
        version = (self.desired or {}).get(name)
        if version is None:
            return _Wanted(None)
        live = self.releases.find(name, app.memory.live)
        if not self.releases.has(name, version):
            return _Wanted(live)
        try:
            definition = self.releases.app(name, version)
        except SpecError as error:
            return _Wanted(live, Failure(version, FailureReason.REFUSED, str(error)))
        why = self.refuse(definition)
        if why:
            return _Wanted(live, Failure(version, FailureReason.REFUSED, why))
        return _Wanted(definition)

    def _situation(self, name: str, app: _App, definition: AppDefinition | None) -> Situation:
        memory, releases = app.memory, {}
        for version in (memory.live, memory.good):
            kept = self.releases.find(name, version)
            if kept is not None:
                releases[version] = kept
        if memory.live not in releases:  # what is lost from the disk cannot run
            memory = replace(memory, live="")
        if memory.good not in releases:
            memory = replace(memory, good="")
        if definition is not None:
            releases[definition.version] = definition
        fetches = self.fetcher.states_of(name)
        if memory.live and memory.live not in fetches and self._has_all(releases[memory.live]):
            fetches[memory.live] = FetchState(is_here=True)
        return Situation(
            name=name,
            desired=definition,
            releases=releases,
            memory=memory,
            instances=self.runtimes.instances_of(name),
            now=self.clock(),
            health=self.runtimes.health,
            attempts=app.attempts,
            fetches=fetches,
            files=next((v for v, one in releases.items() if self.volumes.shown(one)), ""),
            phase=app.phase,
            since=app.since,
            settle=self.settle,
        )

    def _has_all(self, app: AppDefinition) -> bool:
        """Whether the live version could be made anew without fetching."""
        if len(self.runtimes.instances_of(app.name)) >= sum(one.replicas for one in app.services):
            return True  # nothing is missing: the engine is not asked
        try:
            return not self.runtimes.found[app.mode].missing(app)
        except (RuntimeFailure, KeyError):
            return False

    def _accept(self, name: str, app: _App, plan: AppPlan) -> None:
        """Remember a plan on disk, before its steps are taken."""
        memory = plan.memory
        if memory is not None and memory != app.memory:
            failure, before = memory.failure, app.memory.failure
            if failure is not None and (before is None or failure.message != before.message):
                log = self.runtimes.log_tail(failure.instance, LOG_LINES, LOG_LIMIT)
                memory = replace(memory, failure=replace(failure, log=log))
            self._remember(name, app, memory)
        app.attempts, app.phase, app.since = plan.attempts, plan.phase, plan.since
        for line in plan.notes:
            self.note(f"app {name}: {line}")
        for service in plan.drift:
            self.note(f"app {name}: an instance of {service} was gone; it is made again")
            now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            app.drift = {"service": service, "time": now}
            self.changed()

    def _remember(self, name: str, app: _App, memory: AppMemory) -> None:
        if memory == app.memory:
            return
        self.releases.remember(name, memory)
        is_settled = memory.live == memory.good != app.memory.good
        app.memory = memory
        if is_settled:
            later = self.offered.get(name, "")
            stays = sorted({memory.live, (self.desired or {}).get(name, ""), later} - {""})
            self.releases.prune(name, stays)
            self.volumes.prune(name, stays)
            self.fetcher.prune(self._all_kept)

    def _all_kept(self) -> Sequence[AppDefinition]:
        """Every version that runs, may run again or is about to."""
        versions = {*(self.desired or {}).items(), *self.offered.items()}
        for name, app in list(self.apps.items()):
            versions |= {(name, app.memory.live), (name, app.memory.good)}
        kept = [self.releases.find(name, version) for name, version in sorted(versions)]
        return [app for app in kept if app is not None]

    def _report(self, app: _App, entry: dict[str, Any]) -> None:
        before, app.entry = app.entry, entry
        if essence(before) != essence(entry):
            self.changed()

    # steps

    def _begin(self, name: str, app: _App, steps: Sequence[Step], *, is_last: bool = False) -> None:
        """Have steps taken in a thread; with the last ones the app is forgotten."""
        if steps:
            app.is_busy = True
            arguments = (name, app, steps, is_last)
            threading.Thread(target=self._obey, args=arguments, daemon=True).start()

    def _obey(self, name: str, app: _App, steps: Sequence[Step], is_last: bool) -> None:  # noqa: FBT001
        try:
            with self.hands:
                is_done = self.executor.execute(name, steps, partial(self._charge, app))
            if is_done and is_last:
                self.apps.pop(name, None)
                self.changed()
        except Exception as error:  # noqa: BLE001  # the app has to be looked after again
            self.note(f"app {name}: {error!r}")
        finally:
            app.changed_at = self.clock()
            app.is_busy = False
            self.woken.set()

    def _charge(self, app: _App, slot: Slot, reason: str, message: str) -> None:
        with self.lock:
            before = app.attempts.get(slot, Attempts())
            app.attempts = {**app.attempts, slot: charged(before, self.clock(), reason, message)}
