"""What a rollout costs: a version in three stages without soak, beside a PUT without a policy.

Server and simulated nodes are processes of their own. Then a version that fails on every node: how
soon the rollout stops, and when the last node has its previous version again. The CPU of the server
is measured beside it, in this process (`rollout_costs`).
"""

import contextlib
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from edgesync.bench.figures import machine, system_load
from edgesync.bench.rollout_costs import cost_lines, measure_costs
from edgesync.demo.api import DemoApi
from edgesync.demo.processes import process, running_server, tail

APP, PLAIN, POLICY, BATCH = "bench-governed", "bench-plain", "bench", "bench"
GOAL_RATIO = 1.5
"""Most times as long as a PUT without a policy."""

STAGES = (("canary", "5%"), ("quarter", "25%"))
"""Stages before the last one, which takes all other nodes."""

MAX_NODES = 10_000
LOOK_EVERY_SECONDS = 0.05
START_SECONDS = 600.0
SECONDS = 300.0
"""How long the nodes may take to start, and one version to reach them."""

_OPEN = {"running", "paused", "rollingBack", "scheduled", "waitingForApproval"}


@click.command()
@click.option("--nodes", type=click.IntRange(20, MAX_NODES), default=1000, show_default=True)
@click.option(
    "--cost-nodes",
    type=click.IntRange(1, MAX_NODES),
    default=10_000,
    show_default=True,
    help="Nodes of the store in which CPU is measured, governed and not.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(nodes: int, cost_nodes: int, *, as_json: bool) -> None:
    """Benchmark a rollout in three stages; baseline: a PUT that no policy governs."""
    with contextlib.ExitStack() as stack:
        name = stack.enter_context(tempfile.TemporaryDirectory(prefix="edgesync-bench-"))
        data = Path(name)
        ready = stack.enter_context(running_server(data, 0, "embedded"))
        api = DemoApi(ready)
        stack.callback(api.close)
        bench = RolloutBench(api, nodes)
        token, bad = bench.prepare()
        stack.enter_context(_running_nodes(ready, data, nodes, token, bad))
        found = {"nodes": nodes, "goal_ratio": GOAL_RATIO, **bench.measure(bad)}
        found |= {"system_load": system_load(), **machine()}
    found["costs"] = measure_costs(cost_nodes)
    click.echo(json.dumps(found, indent=2) if as_json else _lines(found))


@dataclass(frozen=True, slots=True)
class RolloutBench:
    """The apps of the benchmark, on *nodes* nodes."""

    api: DemoApi
    nodes: int

    def prepare(self) -> tuple[str, str]:
        """Make batch, apps and policy; the batch's token, and the version that is to fail."""
        body = {"name": BATCH, "enableWhitelist": 0, "quotaNum": self.nodes}
        body |= {"labels": {"role": "bench"}, "fingerprint": {"type": 1}}
        batch = self.api.call("POST", "/v1/register", body)
        for name in (PLAIN, APP):
            self.api.call("POST", "/v1/apps", _app(name, 1))
        stages = [{"name": name, "limit": limit} for name, limit in STAGES]
        policy = self.api.call(
            "POST",
            "/v1/rolloutpolicies",
            {
                "name": POLICY,
                "apps": {"names": [APP]},
                "stages": [*stages, {"name": "all"}],
                "failure": {"max": 0, "action": "rollback"},
            },
        )
        # Versions increase by one with each change: two more come before the one that fails.
        return str(batch["securityKey"]), str(int(policy["version"]) + 3)

    def measure(self, bad: str) -> dict[str, Any]:
        """Every figure, in seconds."""
        self._until(lambda: self._running(PLAIN) and self._running(APP), START_SECONDS)
        plain = self._timed(PLAIN, lambda: self._running(PLAIN))
        governed = self._timed(APP, lambda: self._state() == "done")
        return {
            "put_seconds": plain,
            "rollout_seconds": governed,
            "ratio": governed / plain,
            **self._measure_return(bad),
        }

    def _measure_return(self, bad: str) -> dict[str, float]:
        version = self.api.call("PUT", f"/v1/apps/{APP}", _app(APP, 3))["version"]
        if version != bad:
            raise click.ClickException(f"the version is {version}, not {bad}, which was to fail")
        self._until(lambda: self._has_failures() or self._state() != "running", SECONDS)
        failed = time.monotonic()
        self._until(lambda: self._state() != "running", SECONDS)
        stopped = time.monotonic()
        self._until(lambda: self._state() not in _OPEN, SECONDS)
        returned = time.monotonic()
        rollout = self.api.call("GET", f"/v1/rollouts/{APP}")
        if rollout["state"] != "rolledBack":
            raise click.ClickException(f"the rollout is {rollout['state']}: {rollout['cause']}")
        touched = sum(
            sum(stage["counts"].get(state, 0) for state in ("returned", "failed"))
            for stage in rollout["stages"]
        )
        return {
            "stop_seconds": stopped - failed,
            "return_seconds": returned - failed,
            "nodes_returned": touched,
        }

    def _state(self) -> str:
        """The state of the newest rollout, from a list: that plans nothing."""
        return str(self.api.call("GET", f"/v1/rollouts?app={APP}")["items"][-1]["state"])

    def _has_failures(self) -> bool:
        failed = self.api.call("GET", f"/v1/rollouts/{APP}/nodes?state=failed&limit=1")
        return bool(failed["total"])

    def _running(self, name: str) -> bool:
        progress = self.api.call("GET", f"/v1/apps/{name}/rollout")
        return bool(progress["running"] >= self.nodes)

    def _timed(self, name: str, is_done: Callable[[], bool]) -> float:
        began = time.monotonic()
        self.api.call("PUT", f"/v1/apps/{name}", _app(name, 2))
        self._until(is_done, SECONDS)
        return time.monotonic() - began

    def _until(self, is_so: Callable[[], bool], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not is_so():
            if time.monotonic() > deadline:
                raise click.ClickException(f"nothing came of it within {seconds:.0f} s")
            time.sleep(LOOK_EVERY_SECONDS)


def _app(name: str, number: int) -> dict[str, Any]:
    service = {"name": "main", "image": f"bench:{number}"}
    return {"name": name, "selector": "role=bench", "services": [service]}


@contextmanager
def _running_nodes(
    ready: dict[str, str], data: Path, nodes: int, token: str, bad: str
) -> Iterator[None]:
    arguments = ["sim", "--quiet", "--count", str(nodes), "--batch", BATCH]
    arguments += ["--activation", ready["activation"], "--ca", ready["ca"]]
    arguments += ["--mqtt", ready["mqtt"].partition("://")[2], "--state-dir", str(data / "nodes")]
    arguments += ["--stats-interval", "0", "--apply-delay", "0", "--fail", f"{APP}@{bad}:100%"]
    log = data / "fleet.log"
    with process(arguments, {"EDGESYNC_SIM_TOKEN": token}, log) as fleet:
        try:
            yield
        except click.ClickException as error:
            if fleet.poll() is None:
                raise
            raise click.ClickException(f"the simulated nodes ended:\n{tail(log)}") from error


def _lines(found: dict[str, Any]) -> str:
    return "\n".join(
        (
            f"a version on {found['nodes']} nodes, in three stages without soak",
            f"until all run it      {found['rollout_seconds']:6.2f} s   (goal: at most"
            f" {found['goal_ratio']} times a PUT without a policy, {found['put_seconds']:.2f} s;"
            f" ratio {found['ratio']:.2f})",
            f"first failure to stop {found['stop_seconds']:6.2f} s",
            f"to the last node back {found['return_seconds']:6.2f} s  "
            f" ({found['nodes_returned']} nodes had got the version)",
            f"Python {found['python']}, {found['cores']} cores with a load of"
            f" {found['system_load']:.1f}, {found['system']}",
            "",
            cost_lines(found["costs"]),
        )
    )
