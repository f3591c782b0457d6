"""A fleet in memory: nodes that apply what they are sent, fail, fall silent and come back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum

from msgspec import convert

from cloud.core.app import AppVersion
from cloud.core.report import AppStats, Order, Report, Reported
from cloud.core.rollout import (
    Assignment,
    AssignmentState,
    Rollout,
    RolloutState,
    default_assignment,
    is_default,
    version_for,
)
from cloud.core.rollout_evidence import after_report, after_sending
from cloud.core.rollout_plan import RolloutStep, next_step
from cloud.core.rollout_policy import RolloutPolicy, RolloutPolicySpec
from cloud.core.rollout_stages import RolloutNode, in_order
from cloud.core.rollout_start import carried_over, new_rollout

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
SILENT_AFTER = timedelta(minutes=1)
APP = "web"


class Behaviour(Enum):
    """What becomes of a version on a node."""

    RUNS = "Running"
    FAILS = "Failed"
    STARTS = "Pending"


def report_of(versions: Mapping[str, str], status: str = "Running") -> Report:
    """A report of a node that applied *versions*."""
    apps = tuple(AppVersion(name, version) for name, version in versions.items())
    stats = [AppStats(app.name, app.version, status, cause="") for app in apps]
    return Report(b"{}", Reported(apps), Order(), None, stats)


@dataclass
class FleetDevice:
    """One node: the version it applied, and what it was sent since."""

    name: str
    labels: Mapping[str, str]
    applied: str
    behaviour: Behaviour = Behaviour.RUNS
    is_away: bool = False
    knows_offers: bool = False
    last_report: datetime | None = None
    # Versions that a report showed healthy, with when it was received.
    shown: list[tuple[datetime, str]] = field(default_factory=list)

    def seen(self, now: datetime) -> RolloutNode:
        is_online = self.last_report is not None and now - self.last_report < SILENT_AFTER
        return RolloutNode(
            "default", self.name, self.labels, is_online, self.last_report, self.knows_offers
        )


class Fleet:
    """Devices, and the rollout of one app over them, driven by steps."""

    def __init__(self, devices: list[FleetDevice], **rules: object) -> None:
        self.devices = {device.name: device for device in devices}
        self.now = START
        spec = convert({"apps": {"names": [APP]}, **rules}, RolloutPolicySpec)
        self.policy = RolloutPolicy("default", "careful", spec, "1", START, START)
        self.rows: dict[str, Assignment] = {}
        self.versions = 2
        self.rollout = self._new("1", "2")
        # The version of each node when it was admitted.
        self.before: dict[str, str] = {}

    def _new(self, base: str, target: str) -> Rollout:
        return new_rollout(self.policy, APP, base=base, target=target, now=self.now)

    def supersede(self) -> None:
        """Put another version of the app."""
        base = self.rollout.default_version
        self.versions += 1
        carried = {name: carried_over(row, base) for name, row in self.rows.items()}
        self.rows = {name: row for name, row in carried.items() if row is not None}
        self.rollout = self._new(base, str(self.versions))
        self.before.clear()

    def desired(self, name: str) -> str:
        """The version that the node should run."""
        return version_for(self.rollout, self.rows.get(name))

    def nodes(self) -> Sequence[RolloutNode]:
        """All nodes, as the scheduler sees them."""
        names = in_order("default", self.devices)
        return [self.devices[name].seen(self.now) for name in names]

    def step(self) -> RolloutStep:
        """Let the scheduler act, and keep what it decides."""
        step = next_step(self.rollout, self.nodes(), self.rows, self.now)
        for name, row in step.changes.items():
            if row is not None and row.state is AssignmentState.ADMITTED:
                self.before[name] = self.rows[name].previous if name in self.rows else ""
                self.before[name] = self.before[name] or self.rollout.base
            if row is None:
                del self.rows[name]
            else:
                self.rows[name] = row
        self.rollout = step.rollout
        self.rows = {
            name: row for name, row in self.rows.items() if not is_default(self.rollout, row)
        }
        return step

    def report(self, device: FleetDevice) -> None:
        """Let the device report what it has applied, and be sent what it should run."""
        if device.is_away:
            return
        device.last_report = self.now
        status = device.behaviour.value if device.applied != self.rollout.base else "Running"
        if status == "Running":
            device.shown.append((self.now, device.applied))
        report = report_of({APP: device.applied} if device.applied else {}, status)
        row = self.rows.get(device.name)
        if row is not None:
            self.rows[device.name] = after_report(row, report, self.now)
        self.send(device)

    def send(self, device: FleetDevice) -> None:
        """Send the device what it should run, which it applies before its next report."""
        if (wanted := self.desired(device.name)) != device.applied:
            if row := self.rows.get(device.name):
                self.rows[device.name] = after_sending(row, self.now)
            device.applied = wanted

    def pass_time(self, span: timedelta) -> None:
        self.now += span

    def run(self, minutes: int, span: timedelta = timedelta(seconds=20)) -> None:
        """Let all nodes report, and the scheduler act, for so long."""
        end = self.now + timedelta(minutes=minutes)
        while self.now < end:
            self.pass_time(span)
            for device in self.devices.values():
                self.report(device)
            self.step()

    def states(self) -> dict[str, AssignmentState]:
        """How each node stands that does not wait, as the answers of the API have it."""
        states = {name: row.state for name, row in self.rows.items()}
        if self.rollout.state is RolloutState.DONE:
            default = default_assignment(self.rollout, "", 0).state
            return {name: states.get(name, default) for name in self.devices}
        return states


def fleet_of(number: int, **rules: object) -> Fleet:
    """A fleet of nodes that run version 1, in shops of two, and report."""
    devices = [
        FleetDevice(
            f"n{index:02}", {"site": f"s{index // 2}", "ring": "canary" if not index else ""}, "1"
        )
        for index in range(number)
    ]
    fleet = Fleet(devices, **rules)
    for device in devices:
        fleet.report(device)
    return fleet
