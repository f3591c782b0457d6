"""Carries out the steps of a plan: those of one kind beside each other, in the plan's order."""

from __future__ import annotations

import collections
import contextlib
import itertools
import threading
from typing import Callable, Sequence

from edgesync_agent.fetching import Fetcher
from edgesync_agent.fields import SpecError
from edgesync_agent.releases import Releases
from edgesync_agent.runtime import (
    Create,
    FailureReason,
    Fetch,
    Forget,
    InstanceStep,
    RuntimeFailure,
    Slot,
    Start,
    Step,
    Stop,
    SwitchFiles,
)
from edgesync_agent.runtimes import Runtimes
from edgesync_agent.spec import AppDefinition
from edgesync_agent.volumes import Volumes

STEPS_AT_ONCE = 4  # of one app

Charge = Callable[[Slot, str, str], None]
"""Counts that an instance could not be created or started: for a `FailureReason`, with a message.

It is called from several threads at a time.
"""


class StepExecutor:
    """Carries out steps; *retained* are the versions whose images stay."""

    def __init__(
        self,
        releases: Releases,
        volumes: Volumes,
        runtimes: Runtimes,
        fetcher: Fetcher,
        note: Callable[[str], None],
        retained: Callable[[], Sequence[AppDefinition]],
    ) -> None:
        self.releases = releases
        self.volumes = volumes
        self.runtimes = runtimes
        self.fetcher = fetcher
        self.note = note
        self.retained = retained

    def execute(self, name: str, steps: Sequence[Step], charge: Charge) -> bool:
        """Carry out the steps of app *name*; False where one failed: what follows is left out."""
        groups = [list(group) for _, group in itertools.groupby(steps, type)]
        return all(self._execute_group(name, group, charge) for group in groups)

    def _execute_group(self, name: str, steps: Sequence[Step], charge: Charge) -> bool:
        """Take steps of one kind beside each other, begun in their order; whether all worked.

        What is to be ended is ended all at a time: each may take until SIGKILL.
        """
        waiting, results = collections.deque(steps), []

        def work() -> None:
            with contextlib.suppress(IndexError):
                while True:
                    step = waiting.popleft()
                    results.append(self._execute_step(name, step, charge))

        count = len(steps) if isinstance(steps[0], Stop) else min(len(steps), STEPS_AT_ONCE)
        threads = [threading.Thread(target=work, daemon=True) for _ in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return len(results) == len(steps) and all(results)

    def _execute_step(self, name: str, step: Step, charge: Charge) -> bool:
        """Carry out one step; False where it failed, which is counted."""
        try:
            if isinstance(step, Fetch):
                self.fetcher.begin(step.app, step.version)
            elif isinstance(step, SwitchFiles):
                self.volumes.switch(self.releases.app(step.app, step.version))
            elif isinstance(step, Forget):
                for runtime in list(self.runtimes.found.values()):
                    runtime.forget(step.app)
                self.volumes.forget(step.app)
                self.releases.forget(step.app)
                self.fetcher.prune(self.retained)
            else:
                self._change(step)
        except (RuntimeFailure, SpecError, OSError) as error:
            self._fail(name, step, error, charge)
            return False
        return True

    def _change(self, step: InstanceStep) -> None:
        if not isinstance(step, Create):
            runtime = self.runtimes.found[self.runtimes.mode_of(step.instance.slot.app)]
            runtime.carry_out(step, None, self.volumes)
            return
        app = self.releases.app(step.slot.app, step.version)
        self.volumes.prepare(app)
        self.runtimes.found[app.mode].carry_out(step, app, self.volumes)

    def _fail(self, name: str, step: Step, error: Exception, charge: Charge) -> None:
        self.note(f"app {name}: {type(step).__name__.lower()} failed: {error}")
        if not isinstance(step, (Create, Start)):
            return
        slot = step.slot if isinstance(step, Create) else step.instance.slot
        reason = error.reason if isinstance(error, RuntimeFailure) else FailureReason.START
        words = f"cannot be created: {error}" if isinstance(step, Create) else str(error)
        charge(slot, reason, words)
