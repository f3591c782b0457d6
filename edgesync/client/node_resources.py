"""Nodes: machines that run apps, and what they report."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from cloud.answers.commands import NodeCommandAnswer
from cloud.answers.common import AppSummary
from cloud.answers.deploys import DeployAnswer
from cloud.answers.explain import ExplanationAnswer
from cloud.answers.nodes import LabelledNodesAnswer, NodeAnswer, NodeItem, NodeStatsAnswer
from cloud.answers.overview import UsageAnswer
from cloud.answers.plans import PlanAnswer
from cloud.answers.properties import ModeAnswer, PropertiesAnswer
from cloud.core.commands import OPEN, SECONDS, CommandKind
from cloud.core.core_configuration import Mode
from cloud.core.kinds import (
    NODE,
)
from cloud.core.node import NodeSpec
from edgesync.client.calls import Calls, given
from edgesync.client.engines import BlockingEngine
from edgesync.client.errors import WaitTimeout
from edgesync.client.methods import ApiMethod
from edgesync.client.resources import (
    LOOK_EVERY_SECONDS,
)
from edgesync.client.steps import ReadClock, Steps
from edgesync.client.typed import as_a, forms_of
from edgesync.client.waiting import node_converged, node_online

if TYPE_CHECKING:
    from edgesync.client.async_engine import AsyncEngine

from edgesync.client.typed_resources import (
    WAIT_SECONDS,
    TypedResources,
)

E = TypeVar("E", bound="BlockingEngine | AsyncEngine")

_LONG_POLL_SECONDS = 20


class NodeResources(TypedResources[E, NodeSpec, NodeAnswer, NodeItem]):
    """Nodes: machines that run apps."""

    def __init__(self, engine: E, calls: Calls) -> None:
        super().__init__(engine, calls, NODE, forms_of(NODE, NodeSpec, NodeAnswer, NodeItem))

    @ApiMethod
    def stats(self, name: str) -> Steps[NodeStatsAnswer]:
        """What it reported last."""
        content = yield from self._calls.json("GET", self._path(name, "stats"))
        return as_a(NodeStatsAnswer)(content)

    @ApiMethod
    def apps(self, name: str) -> Steps[list[AppSummary]]:
        """The apps that it is to run."""
        content = yield from self._calls.json("GET", self._path(name, "apps"))
        return as_a(list[AppSummary])(content["items"])

    @ApiMethod
    def explain(self, name: str) -> Steps[ExplanationAnswer]:
        """Why it has, or has not, converged."""
        content = yield from self._calls.json("GET", self._path(name, "explain"))
        return as_a(ExplanationAnswer)(content)

    @ApiMethod
    def deploys(self, name: str) -> Steps[list[DeployAnswer]]:
        """The last changes of what it is to run, and how they ended."""
        content = yield from self._calls.json("GET", self._path(name, "deploys"))
        return as_a(list[DeployAnswer])(content["items"])

    @ApiMethod
    def usage(self, name: str) -> Steps[UsageAnswer]:
        """CPU and memory of the last day."""
        return as_a(UsageAnswer)((yield from self._calls.json("GET", self._path(name, "usage"))))

    @ApiMethod
    def properties(self, name: str) -> Steps[PropertiesAnswer]:
        """Its reported and desired properties."""
        content = yield from self._calls.json("GET", self._path(name, "properties"))
        return as_a(PropertiesAnswer)(content)

    @ApiMethod
    def set_properties(
        self, name: str, desire: Mapping[str, str | None]
    ) -> Steps[PropertiesAnswer]:
        """Change desired properties; None removes one."""
        body, path = {"state": {"desire": dict(desire)}}, self._path(name, "properties")
        content = yield from self._calls.json("PATCH", path, body=body)
        return as_a(PropertiesAnswer)(content)

    @ApiMethod
    def mode(self, name: str) -> Steps[ModeAnswer]:
        """Whether it is managed by the cloud or locally."""
        return as_a(ModeAnswer)((yield from self._calls.json("GET", self._path(name, "mode"))))

    @ApiMethod
    def set_mode(self, name: str, mode: Mode | str) -> Steps[ModeAnswer]:
        """Have it managed by the cloud, or locally."""
        path, body = self._path(name, "mode"), {"mode": str(mode)}
        return as_a(ModeAnswer)((yield from self._calls.json("PUT", path, body=body)))

    @ApiMethod
    def label(
        self,
        labels: Mapping[str, str | None],
        *,
        names: Sequence[str] = (),
        selector: str = "",
        field_selector: str = "",
    ) -> Steps[LabelledNodesAnswer]:
        """Change labels of many nodes, or of none if one is refused; None removes a label.

        They are those of *names*, or those that the selectors select.
        """
        body = _labelling(labels, names, selector, field_selector)
        content = yield from self._calls.json("PATCH", self.kind.path, body=body)
        return as_a(LabelledNodesAnswer)(content)

    @ApiMethod
    def label_plan(
        self,
        labels: Mapping[str, str | None],
        *,
        names: Sequence[str] = (),
        selector: str = "",
        field_selector: str = "",
    ) -> Steps[PlanAnswer]:
        """What `label` would change, and which apps nodes would gain and lose."""
        body, query = _labelling(labels, names, selector, field_selector), {"dryRun": "true"}
        content = yield from self._calls.json("PATCH", self.kind.path, body=body, query=query)
        return as_a(PlanAnswer)(content)

    @ApiMethod
    def revoke(self, name: str) -> Steps[None]:
        """Revoke its certificates, which disconnects it."""
        yield from self._calls.json("POST", self._path(name, "revoke"))

    @ApiMethod
    def install_command(self, name: str) -> Steps[str]:
        """A shell command that installs the agent as this node; it works once, for an hour."""
        return str((yield from self._calls.json("GET", self._path(name, "init")))["cmd"])

    @ApiMethod
    def run(
        self,
        name: str,
        command: CommandKind | str,
        arguments: Mapping[str, str | int] | None = None,
        *,
        seconds: int = SECONDS,
    ) -> Steps[NodeCommandAnswer]:
        """Have it carry out a command, and return how that ended, within *seconds*.

        WaitTimeout if the server does not end it some seconds after that.
        The *arguments* are those of the API: `run("n1", "logs", {"app": "web", "lines": 100})`.
        """
        body = {"command": str(command), "seconds": seconds, **(arguments or {})}
        path = self._path(name, "commands")
        answer = as_a(NodeCommandAnswer)((yield from self._calls.json("POST", path, body=body)))
        query = given(wait=_LONG_POLL_SECONDS)
        end = (yield ReadClock()) + seconds + _LONG_POLL_SECONDS
        while answer.status in OPEN:
            if (yield ReadClock()) >= end:
                raise WaitTimeout(f"{name} did not answer the command {command} in {seconds} s")
            one = f"{path}/{answer.id}"
            content = yield from self._calls.json("GET", one, query=query)
            answer = as_a(NodeCommandAnswer)(content)
        return answer

    @ApiMethod
    def wait(
        self, name: str, *, timeout: float = WAIT_SECONDS, every: float = LOOK_EVERY_SECONDS
    ) -> Steps[ExplanationAnswer]:
        """Wait until it runs all that it is to run and nothing else.

        RolloutFailed, with the causes, once apps failed and no other is still to come; WaitTimeout
        after *timeout* seconds.
        """
        content = yield from node_converged(
            self._calls, self._path(name), timeout=timeout, every=every
        )
        return as_a(ExplanationAnswer)(content)

    @ApiMethod
    def wait_online(
        self, name: str, *, timeout: float = WAIT_SECONDS, every: float = LOOK_EVERY_SECONDS
    ) -> Steps[NodeAnswer]:
        """Wait until it exists and is online; WaitTimeout after *timeout* seconds."""
        content = yield from node_online(
            self._calls, self._path(name), timeout=timeout, every=every
        )
        return as_a(NodeAnswer)(content)


def _labelling(
    labels: Mapping[str, str | None], names: Sequence[str], selector: str, field_selector: str
) -> dict[str, Any]:
    chosen: dict[str, Any] = {
        "names": list(names),
        "selector": selector,
        "fieldSelector": field_selector,
    }
    return {"labels": dict(labels), **{key: value for key, value in chosen.items() if value}}
