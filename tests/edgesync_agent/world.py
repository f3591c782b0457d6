"""A runtime that is a model, and the agent's disk beside it, to decide for."""

from dataclasses import replace
from typing import Any

from edgesync_agent.attempts import charged
from edgesync_agent.parsing import read_app
from edgesync_agent.reconcile import reconcile
from edgesync_agent.runtime import (
    CREATED,
    EXITED,
    LIVE,
    RUNNING,
    Create,
    FailureReason,
    Fetch,
    Forget,
    Instance,
    Remove,
    Slot,
    Start,
    Step,
    Stop,
    SwitchFiles,
)
from edgesync_agent.situation import (
    AppMemory,
    AppPlan,
    Attempts,
    FetchState,
    Health,
    Situation,
    live_slots,
    slot_key,
)
from edgesync_agent.spec import AppDefinition

ROUNDS = 400
"""Times a runtime is asked at most before it has to have settled."""


def app(version: str, *services: dict[str, Any], **fields: Any) -> AppDefinition:
    given = [{"image": "i:1", **service} for service in services]
    return read_app({"name": "web", "version": version, "services": given, **fields})


class AgentWorld:
    """A runtime that is a model, with the agent's disk; *behaviour* is how services do.

    It is `ok`, `crash`, `unready`, `no-start` or `done`, of an image; an image in *unreachable*
    cannot be fetched.
    """

    def __init__(self) -> None:
        self.now = 1000.0
        self.memory = AppMemory()
        self.releases: dict[str, AppDefinition] = {}
        self.desired: AppDefinition | None = None
        self.instances: dict[Slot, Instance] = {}
        self.images: dict[Slot, str] = {}
        self.files = ""
        self.here: set[str] = set()
        self.unreachable: set[str] = set()
        self.behaviour: dict[str, str] = {}
        self.done: list[Step] = []
        self.plans: list[AppPlan] = []
        self.number = 0
        self.is_forgotten = False
        self.lose_memory()

    def lose_memory(self) -> None:
        """What a crash of the agent takes: all that is not on disk."""
        self.attempts: dict[Slot, Attempts] = {}
        self.fetches: dict[str, FetchState] = {}
        self.phase, self.since = "", 0.0

    def want(self, one: AppDefinition | None) -> None:
        self.desired = one
        if one is not None:
            self.releases[one.version] = one

    def situation(self) -> Situation:
        for instance in list(self.instances.values()):
            self.live_on(instance)
        fetches = {v: replace(f, is_here=v in self.here) for v, f in self.fetches.items()}
        fetches |= {v: FetchState(is_here=True) for v in self.here if v not in fetches}
        return Situation(
            name="web",
            desired=self.desired,
            releases=self.releases,
            memory=self.memory,
            instances=list(self.instances.values()),
            now=self.now,
            health={one.key: self.health(one) for one in self.instances.values()},
            attempts=self.attempts,
            fetches=fetches,
            files=self.files,
            phase=self.phase,
            since=self.since,
        )

    def live_on(self, one: Instance) -> None:
        """What the program of a running instance does by itself."""
        how = self.behaviour.get(self.images[one.slot], "ok")
        if one.state == RUNNING and how in {"crash", "done"}:
            code = 1 if how == "crash" else 0
            ended = replace(one, state=EXITED, exit_code=code, finished=self.now)
            self.instances[one.slot] = ended

    def health(self, one: Instance) -> Health:
        is_ready = self.behaviour.get(self.images[one.slot], "ok") == "ok"
        return Health(ready_since=one.started if is_ready else None, message="HTTP 500")

    def turn(self, crash_after: int | None = None) -> AppPlan:
        """One look and what follows; the agent dies after so many steps."""
        plan = reconcile(self.situation())
        self.plans.append(plan)
        self.check(plan)
        if plan.memory is not None:
            self.memory = plan.memory
        self.attempts, self.phase, self.since = dict(plan.attempts), plan.phase, plan.since
        for index, step in enumerate(plan.steps):
            if crash_after is not None and index >= crash_after:
                break
            if not self.obey(step):
                break
        if crash_after is not None:
            self.lose_memory()
        return plan

    def check(self, plan: AppPlan) -> None:
        """What must never be decided."""
        known = set(self.instances.values())
        for step in plan.steps:
            if isinstance(step, Start | Stop | Remove):
                assert step.instance in known
            if isinstance(step, Stop) and step.instance.slot.stage == LIVE and plan.memory:
                live = self.releases[plan.memory.live]
                assert live.version in self.here
                if step.instance.slot not in live_slots(live):
                    made = {s for s in self.instances if s.stage == LIVE}
                    finished = plan.memory.finished
                    if live.workload != "job":
                        wanted = {s for s in live_slots(live) if slot_key(s) not in finished}
                        assert wanted <= made

    def obey(self, step: Step) -> bool:
        self.done.append(step)
        self.number += 1
        if isinstance(step, Fetch):
            images = {one.image for one in self.releases[step.version].services}
            is_here = not images & self.unreachable
            if is_here:
                self.here.add(step.version)
            self.fetches[step.version] = FetchState(is_here, not_before=self.now + 30)
        elif isinstance(step, Create):
            if step.slot not in self.instances:
                key = f"k{self.number}"
                made = Instance(key, step.slot, step.version, CREATED, created=self.number)
                self.instances[step.slot] = made
                release = self.releases[step.version]
                services = (*release.services, *release.init_services)
                named = next(s for s in services if s.name == step.slot.service)
                self.images[step.slot] = named.image
        elif isinstance(step, SwitchFiles):
            self.files = step.version
        elif isinstance(step, Forget):
            self.is_forgotten = True
        else:
            return self.change(step)
        return True

    def change(self, step: Start | Stop | Remove) -> bool:
        slot = step.instance.slot
        if isinstance(step, Remove):
            self.instances.pop(slot, None)
            return True
        if slot not in self.instances:
            return True
        one = self.instances[slot]
        if isinstance(step, Stop):
            self.instances[slot] = replace(one, state=EXITED, exit_code=137, finished=self.now)
        elif self.behaviour.get(self.images[slot]) == "no-start":
            before = self.attempts.get(slot, Attempts())
            self.attempts[slot] = charged(before, self.now, FailureReason.START, "no such command")
            return False
        elif one.state != RUNNING:
            self.instances[slot] = replace(one, state=RUNNING, started=self.now, exit_code=0)
        return True

    def settle(self) -> None:
        """Take turns until nothing changes, with time going on."""
        quiet, kinds = 0, [""]
        for _ in range(ROUNDS):
            before = self.memory
            plan = self.turn()
            kinds = [type(step).__name__ for step in plan.steps]
            quiet = quiet + 1 if not plan.steps and plan.memory == before else 0
            if quiet and (plan.wake is None or quiet > 3):
                return
            waits = plan.wake is not None and not plan.steps
            self.now = max(self.now + 1, plan.wake if plan.wake and waits else 0)
        raise AssertionError(kinds)

    def running(self, stage: str = LIVE) -> set[str]:
        """Images that run."""
        return {
            self.images[one.slot]
            for one in self.instances.values()
            if one.state == RUNNING and one.slot.stage == stage
        }

    def steps(self, *kinds: type) -> list[str]:
        return [type(step).__name__ for step in self.done if isinstance(step, kinds)]
