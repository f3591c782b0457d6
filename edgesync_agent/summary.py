"""The output of `status`: the node, its agent, its connection, the runtimes, and the apps."""

from __future__ import annotations

import contextlib
import json
import os
import time
from pathlib import Path
from typing import Any, Iterator, Mapping

from edgesync_agent import VERSION
from edgesync_agent.activation import openssl_command
from edgesync_agent.certificate import dates, now_text
from edgesync_agent.consent import DEFERRED
from edgesync_agent.errors import AgentError
from edgesync_agent.policy import PolicyFile, policy_file
from edgesync_agent.runtime import RuntimeFailure
from edgesync_agent.runtimes import FindRuntime
from edgesync_agent.spec import CONTAINERS

STATE_FILE = "state.json"  # written by the agent that runs, read by `status`
NO_ENGINE = "apps with containers stay Pending until there is one"


class StateFile:
    """The state that the running agent publishes, for the `status` verb."""

    def __init__(self, home: Path) -> None:
        self._path = home / STATE_FILE
        self._written: Any = None

    def write(self, connection: str, apps: Any, offers: Any = ()) -> None:
        """Keep the connection, what runs and what is offered, if changed; a crash may lose it."""
        shown = ("name", "version", "status", "cause")
        short = [{key: app.get(key, "") for key in shown} for app in apps]
        content = {"connection": connection, "apps": short, "offers": list(offers)}
        if content == self._written:
            return
        beside = self._path.with_name(f".new-{self._path.name}")
        beside.write_text(json.dumps({**content, "since": time.time(), "process": os.getpid()}))
        os.replace(beside, self._path)
        self._written = content


def summary(
    home: Path, identity: Mapping[str, Any], finders: Mapping[str, FindRuntime], *, runs: bool
) -> Iterator[str]:
    """The lines of `status`; *runs* states whether an agent runs in *home*."""
    state: dict[str, Any] = {}
    with contextlib.suppress(OSError, ValueError):
        state = json.loads((home / STATE_FILE).read_text())
    yield f"node         {identity['nodeId']}"
    process = f"process {state.get('process', '?')}" if runs else "not running"
    yield f"agent        {VERSION}, {process}, in {home}"
    since = f" since {now_text(state['since'])}" if runs and state.get("since") else ""
    yield f"connection   {state.get('connection', 'none yet') if runs else 'none'}{since}"
    yield f"certificate  {_certificate(home)}"
    yield f"engine       {_engine(finders)}"
    yield f"policy       {_policy()}"
    for app in state.get("apps", ()) if runs else ():
        cause = f": {app['cause']}" if app.get("cause") else ""
        yield f"app          {app['name']} version {app.get('version', '')} {app['status']}{cause}"
    for offer in state.get("offers", ()) if runs else ():
        yield f"offer        {offer_words(offer)}"


def read_offers(home: Path) -> list[dict[str, Any]]:
    """What was offered to the agent of *home* when it last wrote its state."""
    with contextlib.suppress(OSError, ValueError):
        return list(json.loads((home / STATE_FILE).read_text()).get("offers", ()))
    return []


def offer_words(offer: Mapping[str, Any]) -> str:
    """One offer as a line."""
    words = [f"{offer['name']} version {offer['version']}"]
    words.append("fetched" if offer.get("fetched") else "being fetched")
    if offer.get("notBefore"):
        words.append(f"not before {offer['notBefore']}")
    if offer.get("answer") == DEFERRED:
        reason = f": {offer['reason']}" if offer.get("reason") else ""
        words.append(f"deferred until {offer.get('until')}{reason}")
    elif offer.get("consent"):
        latest = f", {offer['latest']} at the latest" if offer.get("latest") else ""
        words.append(offer.get("answer") or f"waits for consent{latest}")
    return ", ".join(words)


def missing_engine(finders: Mapping[str, FindRuntime]) -> str:
    """A note for an operator who expects containers; empty where an engine answers."""
    try:
        finders[CONTAINERS]()
    except RuntimeFailure as error:
        return f"{error}: {NO_ENGINE}"
    return ""


def _certificate(home: Path) -> str:
    try:
        _, ends = dates(home / "identity" / "cert.pem", openssl_command())
    except AgentError as error:
        return f"cannot be read: {error}"
    return f"{'ended' if ends < time.time() else 'ends'} {now_text(ends)}"


def _engine(finders: Mapping[str, FindRuntime]) -> str:
    missing = missing_engine(finders)
    return missing or finders[CONTAINERS]().describe()


def _policy() -> str:
    path = policy_file()
    return PolicyFile(path).current().broken or (str(path) if path.exists() else "none")
