"""The node's side of the protocol: what it reports, and how it takes over what is desired.

It fetches bodies and keeps them (`releases`); running them is the business of its `Apps`.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import Any, Callable, Mapping, Protocol

from edgesync_agent import VERSION
from edgesync_agent.clock import Clock
from edgesync_agent.encryption import UnknownKey
from edgesync_agent.files import replace_file, safe
from edgesync_agent.releases import Releases
from edgesync_agent.version_offers import VersionOffers

ANSWER_WAIT = 30.0  # seconds until a body is asked for again
REKEY_PAUSE = 600.0  # seconds between two keys that are made because one is missing
INFO_LIMIT = 100  # bodies in one request
PROPERTIES = "properties.json"  # beside the folder of the apps

Send = Callable[[str, str, "dict[str, Any]", "dict[str, Any]"], None]
"""Publishes on a channel: kind, meta, content."""


class RunningApps(Protocol):
    """The supervisor of the apps (`supervisor`); no call waits for an engine."""

    def desire(self, versions: Mapping[str, str]) -> None:
        """Take over what the server wants."""
        ...

    def prepare(self, versions: Mapping[str, str]) -> None:
        """Fetch what versions need that are offered, and run none of them."""
        ...

    def is_prepared(self, name: str, version: str) -> bool:
        """Whether all is here that an offered version needs."""
        ...

    def arrived(self) -> None:
        """A version is here now."""
        ...

    def statuses(self) -> list[dict[str, Any]]:
        """The entries of `appstats`."""
        ...

    def drift_reported(self, times: Mapping[str, str]) -> None:
        """The server has a report that names what was gone, by app and time."""
        ...

    def take_stale(self) -> set[tuple[str, str]]:
        """Versions whose bodies have to be asked for again."""
        ...


@dataclass
class _Fetch:
    """An app on its way: first its own body, then what its volumes name."""

    name: str
    version: str
    since: float
    left: int = 1  # answers that are still to come
    body: dict[str, Any] | None = None
    values: list[dict[str, Any]] = field(default_factory=list)


class AgentNode:
    """Knows what is desired, fetches it into *releases* and reports what is there."""

    def __init__(
        self,
        releases: Releases,
        apps: RunningApps,
        run: str,
        note: Callable[[str], None],
        clock: Clock,
        *,
        revision: str = "",
        offers: VersionOffers | None = None,
    ) -> None:
        self.revision = revision  # which build of the agent this is
        self.releases = releases
        self.apps = apps
        self.run = run  # changes with every start, since the counting starts anew
        self.note = note  # takes lines for the log
        self.clock = clock
        self.sequence = 0
        self.wanted = releases.desired()  # None until the server has sent it, ever
        self.target = self.wanted  # with versions that may not run yet
        self.offers = offers or VersionOffers()
        self.ready: set[tuple[str, str]] = set()  # offered versions whose bodies are here
        self.requests = 0  # for offered versions
        # Version of each desired app that is on this machine.
        self.held = {n: v for n, v in (self.wanted or {}).items() if releases.has(n, v)}
        self.failed: dict[str, tuple[str, str]] = {}  # version and cause of what cannot be stored
        self.fetching: dict[str, _Fetch] = {}
        self.properties: dict[str, str] | None = None  # None until the server wants any
        self.answered = False  # whether a report of this run was answered
        self.waiting = False  # whether the last report was not answered yet
        self.changed = True  # whether there is something to report at once
        self.drifts: dict[str, str] = {}  # what the last report names as gone: app and time
        self.keys = releases.keys  # proved in reports; None while no secret may come sealed
        self.rekeyed = -REKEY_PAUSE  # when a key was made because one was missing

    def report(self, send: Send, node: dict[str, str], stats: dict[str, Any]) -> None:
        """Report everything; apps that are to go are named until they are gone."""
        self.sequence += 1
        self.changed = False
        self.waiting = True
        entries = {str(entry["name"]): entry for entry in self.apps.statuses()}
        drifts = {name: entry["drift"] for name, entry in entries.items() if "drift" in entry}
        self.drifts = {name: str(one["time"]) for name, one in drifts.items()}
        for name, (version, why) in self.failed.items():
            entries[name] = {"name": name, "version": version, "status": "Failed", "cause": why}
        leaving = {n: str(e["version"]) for n, e in entries.items() if n not in (self.wanted or {})}
        here = sorted({**leaving, **self.held}.items())
        content: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.clock.read())),
            "core": {"binVersion": VERSION, "gitRevision": self.revision},
            "node": node,
            "nodestats": stats,
            "apps": [{"name": name, "version": version} for name, version in here],
            "sysapps": [],
            "appstats": [entry for _, entry in sorted(entries.items())],
            "sysappstats": [],
        }
        if self.properties is not None:
            content["nodeprops"] = self.properties
        content["offers"] = self.offers.report(self._is_fetched)
        if self.keys is not None and (proof := self.keys.proof()) is not None:
            content["encryptionKey"] = proof
        send("report", "report", {"seq": self.sequence, "run": self.run}, content)

    def tend(self, send: Send, now: float) -> None:
        """Run what may run by now, and ask again for versions whose URLs are too old."""
        if self.target is not None and self._allowed() != self.wanted:
            self._follow(send, now)
        for name, version in self.apps.take_stale():
            if (self.wanted or {}).get(name) == version and name not in self.fetching:
                self._fetch(send, name, version, now)

    def report_soon(self) -> None:
        """Have the next report sent at once."""
        self.changed = True

    def take(self, channel: str, payload: bytes, send: Send, now: float) -> None:
        """Handle a message of the server; what cannot be understood is noted and forgotten."""
        try:
            message = json.loads(payload)
            kind, meta, content = message["kind"], message["meta"], message["content"]
            self.clock.hear(meta.get("time"))
            request = str(meta.get("x-baetyl-request-id", ""))
            if channel == "delta" and meta.get("seq") == self.sequence:
                self.waiting = False
                self.apps.drift_reported(self.drifts if kind != "error" else {})
            if kind == "error":
                self.fetching.pop(request, None)
                self.note(f"the server answers with an error: {content}")
            elif channel == "delta":
                self.answered = self.answered or "seq" in meta
                self._take_delta(content, send, now)
            elif channel == "desire-response":
                self._take_bodies(request, content["values"], send)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            self.note(f"cannot use a message on {channel}: {error!r}")

    def _take_delta(self, content: dict[str, Any], send: Send, now: float) -> None:
        if "apps" not in content:
            return
        self.target = {safe(app["name"]): str(app["version"]) for app in content["apps"]}
        if self.offers.take(content):
            self.changed = True
        self._take_properties(content.get("nodeprops"))
        self._follow(send, now)

    def _allowed(self) -> dict[str, str]:
        return self.offers.allowed(self.target or {}, self.wanted or {}, self.clock.now())

    def _follow(self, send: Send, now: float) -> None:
        """Have what may run desired, and fetch what is not here."""
        wanted = self.wanted = self._allowed()
        for name in [name for name in self.held if name not in wanted]:
            del self.held[name]
            self.note(f"app {name} is no longer desired")
            self.changed = True
        self.apps.desire(wanted)
        self.failed = {n: f for n, f in self.failed.items() if wanted.get(n) == f[0]}
        for name, version in wanted.items():
            if (name, version) in self.ready and self.held.get(name) != version:
                self.held[name] = version
                self.changed = True
                self.apps.arrived()
            fetch = self.fetching.get(name)
            if fetch and fetch.version == version and now - fetch.since < ANSWER_WAIT:
                continue
            self.fetching.pop(name, None)
            if self.held.get(name) != version and name not in self.failed:
                self._fetch(send, name, version, now)
        self._follow_offers(send, now)

    def _follow_offers(self, send: Send, now: float) -> None:
        """Fetch the bodies of what is offered; forget what is not offered any more."""
        offered = self._early()
        self.ready &= offered
        for key, fetch in list(self.fetching.items()):
            is_early = key != fetch.name
            if is_early and (
                (fetch.name, fetch.version) not in offered or now - fetch.since >= ANSWER_WAIT
            ):
                del self.fetching[key]
        on_their_way = {(one.name, one.version) for one in self.fetching.values()}
        for name, version in sorted(offered - self.ready - on_their_way):
            if self.releases.has(name, version):
                self.ready.add((name, version))
                continue
            self.requests += 1
            key = f"offer {self.requests}"
            self.fetching[key] = _Fetch(name, version, now)
            self._ask(send, key, [{"kind": "application", "name": name, "version": version}])
        self.apps.prepare(dict(self.ready))

    def _early(self) -> set[tuple[str, str]]:
        """What is to be here and not to run: what is offered, and what may not run yet."""
        both = {*self.offers.versions().items(), *(self.target or {}).items()}
        return both - set((self.wanted or {}).items())

    def _is_fetched(self, name: str, version: str) -> bool:
        return (name, version) in self.ready and self.apps.is_prepared(name, version)

    def _fetch(self, send: Send, name: str, version: str, now: float) -> None:
        self.fetching[name] = _Fetch(name, version, now)
        self._ask(send, name, [{"kind": "application", "name": name, "version": version}])

    def _take_properties(self, wanted: dict[str, str] | None) -> None:
        """Keep what people want of this node in a file for its programs, and report it."""
        if wanted is None or wanted == self.properties:
            return
        place = self.releases.folder.with_name(PROPERTIES)
        replace_file(place, json.dumps(wanted, indent=1).encode())
        self.properties = wanted
        self.changed = True

    def _ask(self, send: Send, name: str, infos: list[dict[str, str]]) -> None:
        send("desire", "desire", {"x-baetyl-request-id": name}, {"infos": infos})

    def _take_bodies(self, key: str, values: list[dict[str, Any]], send: Send) -> None:
        fetch = self.fetching.get(key)
        if fetch is None or not self._is_useful(fetch):
            self.fetching.pop(key, None)
            return
        fetch.left -= 1
        if fetch.body is None:
            fetch.body = values[0]["value"]
            infos = _infos(fetch.body)
            groups = [infos[i : i + INFO_LIMIT] for i in range(0, len(infos), INFO_LIMIT)]
            fetch.left = len(groups)
            for group in groups:
                self._ask(send, key, group)
        else:
            fetch.values += values
        if fetch.left == 0:
            del self.fetching[key]
            self._keep(fetch)

    def _is_useful(self, fetch: _Fetch) -> bool:
        is_wanted = (self.wanted or {}).get(fetch.name) == fetch.version
        return is_wanted or (fetch.name, fetch.version) in self._early()

    def _keep(self, fetch: _Fetch) -> None:
        """Keep a version, unless something of it has changed meanwhile."""
        assert fetch.body is not None  # noqa: S101
        name, version = fetch.name, fetch.version
        asked = {(i["kind"], i["name"]): i["version"] for i in _infos(fetch.body)}
        got = {(v["kind"], v["name"]): v["value"]["version"] for v in fetch.values}
        if fetch.body["version"] != version or got != asked:
            self.note(f"app {name} has changed meanwhile")
            return
        is_wanted = (self.wanted or {}).get(name) == version
        try:
            self.releases.put(fetch.body, fetch.values)
        except (OSError, ValueError) as error:
            if isinstance(error, UnknownKey) and self._makes_key(fetch.since):
                self.note(f"app {name}: {error}; the server gets another key")
                return
            why = f"its files cannot be written: {error}"
            self.note(f"app {name}: {why}")
            if is_wanted:
                self.failed[name] = version, why
                self.changed = True
            return
        if is_wanted:
            self.held[name] = version
            self.changed = True
            self.note(f"app {name} version {version} is here")
            self.apps.arrived()
        else:
            self.ready.add((name, version))
            self.note(f"app {name} version {version} is here, for later")
            self.apps.prepare(dict(self.ready))

    def _makes_key(self, now: float) -> bool:
        """Make another encryption key and report it, unless that was done a short time ago."""
        if self.keys is None or now - self.rekeyed < REKEY_PAUSE:
            return False
        self.rekeyed = now
        self.keys.renew(self.releases.keys_in_use())
        self.changed = True
        return True


def _infos(app: dict[str, Any]) -> list[dict[str, str]]:
    """The configs and secrets an app mounts, each once, as they are asked for."""
    found = {}
    for volume in app.get("volumes") or ():
        for key, kind in (("config", "configuration"), ("secret", "secret")):
            if volume.get(key):
                name, version = volume[key]["name"], volume[key]["version"]
                found[kind, name] = {"kind": kind, "name": name, "version": version}
    return list(found.values())
