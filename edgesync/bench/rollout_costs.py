"""The CPU that a rollout costs a server, beside an app on as many nodes that no policy governs.

Each has a store of its own, and they take turns after each group of nodes; there is no network. So
the ratios hold on a machine with other work, too.
"""

import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from cloud.config import Settings
from cloud.core.app import AppSpec
from cloud.core.node import NodeSpec
from cloud.core.report import Order, read_report
from cloud.core.rollout import RolloutState
from cloud.core.rollout_policy import RolloutPolicy, RolloutPolicySpec
from cloud.link.exchange import GROUP
from cloud.opening import open_store
from cloud.operations.apps import create_app, update_app
from cloud.operations.nodes import create_node
from cloud.operations.reports import deltas_for, receive_report, record_sent
from cloud.operations.rollout_drive import driven_rollouts, keep_step, plan_step
from cloud.store.sealing import load_or_create_sealer
from cloud.store.transaction import Store, Transaction
from cloud.store.witness import load_or_create_witness
from edgesync.bench.light_node import report_content
from edgesync.interpreter import tuned_interpreter

APP, NAMESPACE = "web", "bench"
ROUNDS = 5
"""Versions that are rolled out; the figures are medians."""

REPORT_BYTES = 2000
STEPS_AT_MOST = 100
GOAL_RATIO = 1.1
"""Most times as much as without a policy."""

PARTS = ("start", "admission", "sending", "reports", "end")
"""Of a version: the PUT; the steps of the scheduler that admit the nodes; computing and recording
what they are sent; their reports; the steps that end the rollout. A step that changes nothing, as
the scheduler takes one every second, stands apart.
"""


@dataclass
class CostedFleet:
    """The nodes of a store, with what each part of a version cost in seconds of CPU."""

    store: Store
    nodes: int
    now: datetime
    is_governed: bool
    costs: dict[str, list[float]] = field(default_factory=dict)
    version: str = ""

    async def prepare(self) -> None:
        """Make nodes, app and, if it is governed, its policy; all run the first version."""
        rules = {"apps": {"names": [APP]}, "stages": [{"name": "all"}]}
        policy = msgspec.convert(rules, RolloutPolicySpec)

        def put(tx: Transaction, start: int) -> None:
            for number in range(start, min(start + GROUP, self.nodes)):
                spec = NodeSpec({"role": "bench"})
                create_node(tx, NAMESPACE, f"n{number}", spec, now=self.now)

        for start in range(0, self.nodes, GROUP):
            await self.store.write(lambda tx, start=start: put(tx, start))  # type: ignore[misc]
        app = await self.store.write(
            lambda tx: create_app(tx, NAMESPACE, APP, _spec(0), now=self.now)
        )
        self.version = app.version
        for groups in (self.report, self.report, self.send, self.report):
            async for _ in groups():
                pass
        if self.is_governed:
            await self.store.write(
                lambda tx: tx.put_resource(
                    RolloutPolicy(NAMESPACE, "bench", policy, tx.next_version(), self.now, self.now)
                )
            )

    async def start(self, number: int) -> None:
        """Put version *number* of the app."""
        self.now += timedelta(seconds=20)
        with self.costing("start", is_new=True):
            app = await self.store.write(
                lambda tx: update_app(tx, NAMESPACE, APP, _spec(number), now=self.now)
            )
        self.version = app.version

    async def check_done(self) -> None:
        """RuntimeError if the version has not been rolled out."""
        if self.is_governed:
            rollout = await self.store.read(lambda tx: tx.newest_rollout(NAMESPACE, APP))
            if rollout is None or rollout.state is not RolloutState.DONE:
                raise RuntimeError(f"the rollout is {rollout.state if rollout else 'not there'}")

    def medians(self) -> dict[str, float]:
        """Seconds of CPU for each part."""
        return {name: statistics.median(took) for name, took in self.costs.items()}

    @contextmanager
    def costing(self, name: str, *, is_new: bool = False) -> Iterator[None]:
        """Add the CPU of this process meanwhile to that part, of another version if it *is_new*."""
        costs = self.costs.setdefault(name, [])
        if is_new:
            costs.append(0.0)
        began = time.process_time()
        yield
        costs[-1] += time.process_time() - began

    async def step(self, part: str) -> None:
        """Steps of the scheduler until one changes nothing."""
        costs = self.costs.setdefault(part, [])
        costs.append(0.0)
        for _ in range(STEPS_AT_MOST if self.is_governed else 0):
            with self.costing("idle", is_new=True):
                is_change = await self._step()
            if not is_change:
                return
            costs[-1] += self.costs["idle"].pop()

    async def _step(self) -> bool:
        """A step of each rollout, as the driver takes it; whether it changed something."""
        is_change = False
        for rollout in await self.store.read(driven_rollouts):
            planned = await self.store.read(partial(plan_step, rollout=rollout, now=self.now))
            if planned.is_change:
                await self.store.write(partial(keep_step, planned=planned, now=self.now))
                is_change = True
        return is_change

    async def send(self) -> AsyncIterator[int]:
        """Send what is pending, as the pusher does; to how many nodes of each group."""

        def work(tx: Transaction) -> tuple[int, int]:
            taken = list(tx.take_pending(GROUP))
            pushes = deltas_for(tx, taken, now=self.now)
            record_sent(tx, pushes, now=self.now)
            return len(taken), len(pushes)

        while (found := await self.store.write_concurrent(work))[0]:
            yield found[1]

    async def report(self) -> AsyncIterator[int]:
        """Let each node report the version, in groups as the server takes them."""
        self.now += timedelta(seconds=20)
        content = report_content("n", {APP: self.version}, REPORT_BYTES)
        messages = [json.dumps(content).encode()] * GROUP

        def take(tx: Transaction, start: int) -> int:
            names = [f"n{number}" for number in range(start, min(start + GROUP, self.nodes))]
            tx.expect_nodes([(NAMESPACE, name) for name in names])
            for name, message in zip(names, messages, strict=False):
                report = read_report(msgspec.json.decode(message), Order())
                receive_report(tx, f"{NAMESPACE}.{name}", report, "json", now=self.now)
            return len(names)

        for start in range(0, self.nodes, GROUP):
            yield await self.store.write_concurrent(partial(take, start=start))


async def _bring(fleets: Sequence[CostedFleet], number: int) -> None:
    """Bring version *number* of the app to all nodes; RuntimeError if it does not arrive."""
    for fleet in fleets:
        await fleet.start(number)
        await fleet.step("admission")
    await _in_turns("sending", fleets, CostedFleet.send)
    await _in_turns("reports", fleets, CostedFleet.report)
    for fleet in fleets:
        await fleet.step("end")
        await fleet.check_done()
    await _in_turns("steady", fleets, CostedFleet.report)


async def _in_turns(
    part: str,
    fleets: Sequence[CostedFleet],
    work: Callable[[CostedFleet], AsyncIterator[int]],
) -> None:
    """Let the fleets do *work* in turns, a group of nodes in each; RuntimeError if any is left."""
    turns = [(fleet, work(fleet)) for fleet in fleets]
    left = {id(fleet): fleet.nodes for fleet in fleets}
    for fleet in fleets:
        fleet.costs.setdefault(part, []).append(0.0)
    while turns:
        for fleet, groups in list(turns):
            with fleet.costing(part):
                done = await anext(groups, 0)
            left[id(fleet)] -= done
            if not done:
                turns.remove((fleet, groups))
    if any(left.values()):
        raise RuntimeError(f"{part}: not of {sum(left.values())} nodes")


def measure_costs(nodes: int, rounds: int = ROUNDS) -> dict[str, Any]:
    """Seconds of CPU for each part, governed and not, and their ratios."""
    with tempfile.TemporaryDirectory(prefix="edgesync-bench-") as name, tuned_interpreter():
        return asyncio.run(_measure(Path(name), nodes, rounds))


async def _measure(directory: Path, nodes: int, rounds: int) -> dict[str, Any]:
    async with (
        _opened_store(directory / "plain") as plain_store,
        _opened_store(directory / "governed") as governed_store,
    ):
        now = datetime.now(UTC)
        plain = CostedFleet(plain_store, nodes, now, is_governed=False)
        governed = CostedFleet(governed_store, nodes, now, is_governed=True)
        fleets = (plain, governed)
        for fleet in fleets:
            await fleet.prepare()
        for number in range(1, rounds + 2):
            await _bring(fleets if number % 2 else fleets[::-1], number)
            if number == 1:
                # Statements are prepared, and pages read, by the first one.
                plain.costs.clear()
                governed.costs.clear()
    return _ratios(governed.medians(), plain.medians(), nodes)


def _opened_store(directory: Path) -> AbstractAsyncContextManager[Store]:
    directory.mkdir()
    sealer = load_or_create_sealer(directory / "secrets.key")
    witness = load_or_create_witness(directory)
    return open_store(Settings(data_dir=directory), sealer=sealer, witness=witness)


def _ratios(governed: dict[str, float], plain: dict[str, float], nodes: int) -> dict[str, Any]:
    def ratio(names: Sequence[str]) -> float:
        return sum(governed[name] for name in names) / sum(plain[name] for name in names)

    return {
        "nodes": nodes,
        "goal_ratio": GOAL_RATIO,
        "governed_seconds": governed,
        "plain_seconds": plain,
        "start_ratio": ratio(["start"]),
        "sent_ratio": ratio(["start", "admission", "sending"]),
        "report_ratio": ratio(["reports"]),
        "steady_report_ratio": ratio(["steady"]),
        "version_ratio": ratio(PARTS),
    }


def cost_lines(found: dict[str, Any]) -> str:
    """The figures as text."""
    governed, plain, nodes = found["governed_seconds"], found["plain_seconds"], found["nodes"]

    def line(name: str, parts: Sequence[str], ratio: str, scale: Callable[[float], str]) -> str:
        own, other = (sum(one[part] for part in parts) for one in (governed, plain))
        return f"{name:32} {scale(own):>12} {scale(other):>12} {found[ratio]:7.2f}"

    def milliseconds(seconds: float) -> str:
        return f"{seconds * 1000:.1f} ms"

    def microseconds(seconds: float) -> str:
        return f"{seconds / nodes * 1e6:.1f} us"

    sent = ("start", "admission", "sending")
    return "\n".join(
        (
            f"CPU for a version on {nodes} nodes (goal: at most {GOAL_RATIO} times)",
            f"{'':32} {'governed':>12} {'no policy':>12} {'ratio':>7}",
            line("PUT of the app", ["start"], "start_ratio", milliseconds),
            line("until all nodes are sent it", sent, "sent_ratio", milliseconds),
            line("a report of the new version", ["reports"], "report_ratio", microseconds),
            line("a report later", ["steady"], "steady_report_ratio", microseconds),
            line("everything", PARTS, "version_ratio", milliseconds),
            f"{'a step that changes nothing':32} {milliseconds(governed['idle']):>12}",
        )
    )


def _spec(number: int) -> AppSpec:
    service = {"name": "main", "image": f"bench:{number}"}
    return msgspec.convert({"selector": "role=bench", "services": [service]}, AppSpec)
