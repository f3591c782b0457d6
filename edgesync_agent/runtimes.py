"""The runtimes that are there, what they run, and how that does."""

from __future__ import annotations

import threading
from typing import Callable, Mapping, Sequence

from edgesync_agent.probes import Prober
from edgesync_agent.runtime import (
    RUNNING,
    FailureReason,
    Instance,
    InstanceUsage,
    Runtime,
    RuntimeFailure,
)
from edgesync_agent.situation import Health, service_of
from edgesync_agent.spec import CONTAINERS, AppDefinition

FIND_INTERVAL = 3.0  # seconds until a runtime that is not there is looked for again
USAGE_INTERVAL = 15.0  # seconds between measurements

FindRuntime = Callable[[], Runtime]
"""Finds what runs apps of a mode; RuntimeFailure states what is missing."""

Definition = Callable[[Instance], "AppDefinition | None"]
"""The version by which an instance is probed; None where there is none any more."""


class Runtimes:
    """Runtimes by mode, found by *finders*; `observe` looks at all of them."""

    def __init__(
        self,
        finders: Mapping[str, FindRuntime],
        note: Callable[[str], None],
        changed: Callable[[], None],
        clock: Callable[[], float],
    ) -> None:
        self.finders = finders
        self.note = note
        self.clock = clock
        self.found: dict[str, Runtime] = {}
        self.absent: dict[str, tuple[str, float]] = {}  # why one is not there; until when
        self.instances: dict[str, Sequence[Instance]] = {}  # by mode, at the last look
        self.health: Mapping[str, Health] = {}
        self.used: dict[str, InstanceUsage] = {}
        self.measured = -USAGE_INTERVAL  # when that was
        self.is_measuring = False
        self.prober = Prober(changed, clock)

    def observe(self, definition: Definition) -> None:
        """Look at every runtime, and have probes carried out of what runs."""
        for mode in self.finders:
            try:
                self.instances[mode] = self._runtime(mode).observe()
            except RuntimeFailure as error:
                if self.found.pop(mode, None) is not None:
                    self.note(str(error))
                self.absent.setdefault(mode, (str(error), self.clock() + FIND_INTERVAL))
        self._follow(definition)

    def why_absent(self, mode: str) -> str:
        """Why nothing runs apps of *mode*."""
        return self.absent.get(mode, ("nothing runs such apps here", 0.0))[0]

    def instances_of(self, name: str) -> list[Instance]:
        """The instances of an app, at the last look."""
        return [one for found in self.instances.values() for one in found if one.slot.app == name]

    def mode_of(self, name: str) -> str:
        """Where the instances of an app are; some mode where it has none."""
        for mode, instances in self.instances.items():
            if any(one.slot.app == name for one in instances):
                return mode
        return next(iter(self.found), CONTAINERS)

    def describe(self) -> str:
        """`containerRuntime` of the report."""
        runtime = self.found.get(CONTAINERS)
        return runtime.describe() if runtime else ""

    def measure(self) -> None:
        """Measure what instances use, now and then, in a thread: Docker takes a second for each."""
        if self.clock() < self.measured + USAGE_INTERVAL or self.is_measuring:
            return
        self.is_measuring = True
        threading.Thread(target=self._measure, name="usage", daemon=True).start()

    def _measure(self) -> None:
        used: dict[str, InstanceUsage] = {}
        for mode, runtime in list(self.found.items()):
            try:
                used.update(runtime.usage(self.instances.get(mode, ())))
            except RuntimeFailure as error:
                self.note(f"cannot measure: {error}")
        self.used = used
        self.measured = self.clock()
        self.is_measuring = False

    def log_tail(self, key: str, lines: int, limit: int) -> str:
        """The end of the output of an instance; empty where it cannot be read."""
        for mode, instances in self.instances.items():
            runtime = self.found.get(mode)
            for one in instances:
                if one.key == key and runtime is not None:
                    try:
                        output = b"".join(runtime.logs(one, lines=lines))
                    except RuntimeFailure:
                        return ""
                    return output.decode(errors="replace")[-limit:]
        return ""

    def close(self) -> None:
        """End the probes."""
        self.prober.close()

    def _runtime(self, mode: str) -> Runtime:
        if mode in self.found:
            return self.found[mode]
        why = self.absent.get(mode)
        if why is not None and self.clock() < why[1]:
            raise RuntimeFailure(FailureReason.NO_RUNTIME, why[0])
        self.absent.pop(mode, None)
        runtime = self.found[mode] = self.finders[mode]()
        if runtime.describe():
            self.note(f"apps run by {runtime.describe()}")
        return runtime

    def _follow(self, definition: Definition) -> None:
        running, own_health = {}, {}
        for mode, instances in self.instances.items():
            runtime = self.found.get(mode)
            for one in instances if runtime is not None else ():
                app = definition(one) if one.state == RUNNING else None
                if app is None or runtime is None:
                    continue
                service = service_of(app, one.slot)
                running[one.key] = one, service, runtime.check
                has_probes = service.startup or service.liveness or service.readiness
                own = getattr(runtime, "engine_health", None)
                word = own(one) if own and not has_probes else ""
                if word and word != "healthy":
                    own_health[one.key] = Health(message=f"its health check returned {word}")
        self.health = {**self.prober.follow(running), **own_health}
