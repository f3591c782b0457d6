"""A fleet for rollouts: simulated nodes over MQTT beside stock agents that have HTTPS only."""

import contextlib
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.baetyl.agent import AgentFailed, StockAgent, app_infos
from tests.baetyl.links import HttpsLink, https_link
from tests.end_to_end.conftest import (
    Server,
    activate,
    count_running,
    make_app,
    make_batch,
    names_running,
    wait_for,
)
from tests.end_to_end.sim import simulated

MQTT_NODES, HTTPS_NODES = 180, 20
NODES = MQTT_NODES + HTTPS_NODES

AppAt = tuple[str, str]
"""An app in a version."""

_REPORT_EVERY = 0.3
_ENDED = {"done", "failed", "paused", "rolledBack", "superseded", "aborted"}


class FaultyAgent(StockAgent):
    """A stock agent that cannot start an app at `broken`, and is silent once it has `fatal`."""

    broken: AppAt = ("", "")
    fatal: AppAt = ("", "")

    @property
    def is_silent(self) -> bool:
        """Return whether it was sent what ends it."""
        infos = app_infos(self.desire, "apps") or []
        return self.fatal in {(info["name"], info["version"]) for info in infos}

    def _apply(self, app: dict[str, str]) -> None:
        if (app["name"], app["version"]) == self.broken:
            raise AgentFailed("exited with status 1")
        super()._apply(app)


class HttpsNodes:
    """Stock agents that report one after the other, in a thread."""

    def __init__(self) -> None:
        self.agents: dict[str, FaultyAgent] = {}
        self._links: dict[str, HttpsLink] = {}
        self._stack = contextlib.ExitStack()
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._report, daemon=True)

    def __enter__(self) -> "HttpsNodes":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join(timeout=60)
        self._stack.close()

    def add(self, server: Server, batch: dict[str, Any], name: str) -> None:
        """Activate another one."""
        identity = activate(server, batch, name)
        self._links[name] = link = self._stack.enter_context(https_link(server, identity))
        self.agents[name] = FaultyAgent(link)

    def _report(self) -> None:
        while not self._is_over.wait(_REPORT_EVERY):
            for name, agent in list(self.agents.items()):
                if self._is_over.is_set() or agent.is_silent:
                    continue
                with contextlib.suppress(AgentFailed, httpx.TransportError):
                    self._links[name].sync(agent)
                    agent.tick()


@dataclass
class TwoLinkFleet:
    """All nodes, with the label `site=a`, and the operator of their server."""

    server: Server
    api: httpx.Client
    folder: Path
    batch: dict[str, Any]
    https: HttpsNodes = field(default_factory=HttpsNodes)
    images: "count[int]" = field(default_factory=lambda: count(2))

    @contextlib.contextmanager
    def over_mqtt(self, *arguments: str) -> Iterator[None]:
        """The nodes over MQTT run meanwhile, with these *arguments* of faults.

        The faults of those over HTTPS end with it.
        """
        arguments = ("--quiet", "--stats-interval", "0", *arguments)
        folder = self.folder / "sim"
        try:
            with simulated(self.server, self.batch, folder, MQTT_NODES, *arguments, interval=2):
                yield
        finally:
            for agent in self.https.agents.values():
                agent.broken = agent.fatal = ("", "")

    def govern(self, app: str, **rules: Any) -> tuple[str, int]:
        """Make an app for all nodes, and its policy; its version, and the newest version of all.

        What a test left that is run once more is deleted before.
        """
        parts = (f"configs/{app}-conf", f"secrets/{app}-password", f"rolloutpolicies/careful-{app}")
        for path in (f"apps/{app}", *parts):
            assert self.api.delete(f"/v1/{path}").status_code in {200, 404}
        base = make_app(self.api, app, selector="site=a")["version"]
        body = {"name": f"careful-{app}", "apps": {"names": [app]}, **rules}
        answer = self.api.post("/v1/rolloutpolicies", json=body)
        assert answer.status_code == 200, answer.text
        return base, int(answer.json()["version"])

    def put(self, app: str) -> str:
        """Change the app; its version."""
        body = self.api.get(f"/v1/apps/{app}").json()
        body["services"][0]["image"] = f"nginx:{next(self.images)}"
        answer = self.api.put(f"/v1/apps/{app}", json=body)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["version"])

    def rollout(self, app: str) -> dict[str, Any]:
        found: dict[str, Any] = self.api.get(f"/v1/rollouts/{app}").json()
        return found

    def nodes(self, app: str, state: str = "") -> list[dict[str, Any]]:
        """How nodes stand in the newest rollout of the app."""
        path = f"/v1/rollouts/{app}/nodes" + (f"?state={state}" if state else "")
        found: list[dict[str, Any]] = self.api.get(path).json()["items"]
        return found

    def becomes(self, app: str, state: str) -> dict[str, Any]:
        """The newest rollout of the app once it is in that *state*."""

        def current() -> str:
            # From the list: that plans nothing.
            return str(self.api.get(f"/v1/rollouts?app={app}").json()["items"][-1]["state"])

        wait_for(lambda: current() in {state, *_ENDED}, f"{app}: {state}", units=60)
        found = self.rollout(app)
        assert found["state"] == state, found
        return found

    def approve(self, app: str) -> None:
        """Let the stage begin that the rollout waits for."""
        self.becomes(app, "waitingForApproval")
        answer = self.api.post(f"/v1/rollouts/{app}/approve")
        assert answer.status_code == 200, answer.text

    def running(self, app: str, version: str) -> set[str]:
        """The nodes that reported the app in that version last."""
        return set(names_running(self.api, app, version))

    def versions(self, app: str, among: Iterable[str]) -> dict[str, str]:
        """The version of the app that each node reported last."""
        return {name: version for version in among for name in self.running(app, version)}

    def all_run(self, app: str, version: str, nodes: int = NODES) -> None:
        """Wait until so many nodes report the app in that version."""

        def count() -> int:
            return count_running(self.api, app, version)

        try:
            wait_for(lambda: count() == nodes, f"{app} {version}", units=60)
        except pytest.fail.Exception as failure:
            others = self._without(app, version)
            pytest.fail(f"{failure}: {count()} of {nodes} run it, not {others}")

    def _without(self, app: str, version: str) -> list[dict[str, Any]]:
        """The first nodes that did not report the app in that version last."""
        names = {item["name"] for item in self.api.get("/v1/nodes").json()["items"]}
        missing = sorted(names - self.running(app, version))[:3]
        return [self.api.get(f"/v1/nodes/{name}").json() for name in missing]

    def updated(self, app: str, nodes: int) -> None:
        """Wait until so many nodes, or more, are updated in the newest rollout of the app."""
        path = f"/v1/rollouts/{app}/nodes?limit=1&state=updated"
        wait_for(
            lambda: self.api.get(path).json()["total"] >= nodes, f"{app}: updated nodes", units=60
        )

    def some_https(self, percent: int) -> Sequence[FaultyAgent]:
        """A share of the nodes over HTTPS."""
        agents = list(self.https.agents.values())
        return agents[: len(agents) * percent // 100]


@contextlib.contextmanager
def two_link_fleet(server: Server, api: httpx.Client, folder: Path) -> Iterator[TwoLinkFleet]:
    """The nodes over HTTPS run meanwhile."""
    fleet = TwoLinkFleet(
        server, api, folder, make_batch(api, labels={"site": "a"}, quotaNum=2 * NODES)
    )
    with fleet.https:
        for number in range(1, HTTPS_NODES + 1):
            fleet.https.add(server, fleet.batch, f"https-{number:02}")
        yield fleet
