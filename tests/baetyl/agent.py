"""A stock Baetyl agent as a server sees it: its shadow, its engine, and what it asks for.

Written from the behaviour of the real one and as unforgiving: where that panics this raises
`Panic`, where that logs an error and tries again at its next tick this raises `Failed`.
"""

import json
from collections.abc import Mapping
from random import Random
from typing import Any, Protocol, TypeVar

import msgspec

from tests.baetyl.bodies import Application, BaetylSecret, Configuration, Values
from tests.baetyl.template import template_pass

T = TypeVar("T")
Infos = list[dict[str, str]]

CORE, INIT = "baetyl-core", "baetyl-init"
ENVIRONMENT = {"BAETYL_RUN_MODE": "native", "HOME": "/root"}


class Panic(Exception):
    """The real agent would be gone now."""


class AgentFailed(Exception):
    """The real agent would log this and try again."""


class StockLink(Protocol):
    """How an agent reaches its cloud."""

    def desire(self, content: Any) -> bytes:
        """The content of the answer as JSON text; Failed if there is none."""
        ...


class StockAgent:
    """Everything but the link; *running* is what kubelet or service manager would run."""

    def __init__(self, link: StockLink, *, service: str = CORE, seed: int = 1) -> None:
        self.link = link
        self.service = service
        self.report: dict[str, Any] = {
            "core": {"goVersion": "go1.22", "binVersion": "v2.4.3", "gitRevision": "unknown"}
        }
        self.desire: dict[str, Any] = {}
        self.running: dict[str, dict[str, str]] = {"apps": {}, "sysapps": {}}
        self.applied: list[tuple[str, str]] = []  # name and version, in the order of applying
        self.deleted: list[str] = []
        self.causes: dict[str, str] = {}
        self.pull_secrets: dict[str, dict[str, str]] = {}
        self.files: dict[str, dict[str, bytes]] = {}  # of configs and secrets, by their name
        self._store: dict[tuple[str, str, str], Any] = {}
        self._random = Random(seed)  # noqa: S311  # the order of Go's maps

    # Messages of the cloud

    def receive(self, content: bytes) -> None:
        """Take the answer to a report, or a push: a delta that is not empty is all that counts."""
        desire = json.loads(template_pass(content.decode(), ENVIRONMENT))
        if desire is not None and not isinstance(desire, dict):
            raise AgentFailed("receive unrecognized desire data")
        if desire:
            self.desire = desire

    # The engine

    def tick(self) -> None:
        """Look at what runs, and make it what is desired: system apps first."""
        desire = dict(self.desire)
        self._report_and_apply("sysapps", desire)
        self._report_and_apply("apps", desire)

    def _report_and_apply(self, key: str, desire: Mapping[str, Any]) -> None:
        reported = self._collect(key, desire)
        wanted = app_infos(merge_patch(self.report, self.desire), key)
        if wanted is None:
            return
        if self.service == CORE:
            wanted = [app for app in wanted if CORE not in app["name"]]
            reported = [app for app in reported if CORE not in app["name"]]
        elif self.service == INIT:
            wanted = [app for app in wanted if CORE in app["name"]]
            reported = [app for app in reported if CORE in app["name"]]
        names = {app["name"] for app in wanted}
        self._applications(wanted)
        for app in reported:
            if app["name"] not in names:
                del self.running[key][app["name"]]
                self.deleted.append(app["name"])
        for app in wanted:
            if app not in reported:
                self._try_to_apply(key, app)
        self._collect(key, desire)

    def _collect(self, key: str, desire: Mapping[str, Any]) -> Infos:
        apps = [{"name": n, "version": v} for n, v in self.running[key].items()]
        self._random.shuffle(apps)
        apps = aligned(apps, app_infos(desire, key) or [])
        stats = [{**app, "deployType": "deployment", "status": "Running"} for app in apps]
        stats += [{"name": name, "cause": cause} for name, cause in self.causes.items()]
        host = {"hostname": "edge-1", "arch": "amd64", "os": "linux", "role": "master"}
        host["containerRuntime"] = "containerd://1.7.2"
        usage = {"usage": {"cpu": "0.12", "memory": "812000000"}, "capacity": {"cpu": "2"}}
        self.report |= {
            "time": "2001-02-03T04:05:06.789Z",
            "modeinfo": "",
            "node": {"edge-1": host},
            "nodestats": {"edge-1": usage},
            key: apps,
            f"{key.removesuffix('apps')}appstats": stats,
        }
        return apps

    # Bodies

    def _try_to_apply(self, key: str, app: dict[str, str]) -> None:
        self.causes.pop(app["name"], None)
        try:
            self._fetch(app)
            self._apply(app)
        except AgentFailed as error:
            self.causes[app["name"]] = str(error)
            return
        self.running[key][app["name"]] = app["version"]
        self.applied.append((app["name"], app["version"]))

    def _applications(self, infos: Infos) -> list[Application]:
        return self._ask("application", infos, Application)

    def _fetch(self, app: dict[str, str]) -> None:
        for body in self._applications([app]):
            wanted: dict[str, Infos] = {"configuration": [], "secret": []}
            for volume in body.volumes or []:
                if volume.config:
                    wanted["configuration"].append(msgspec.to_builtins(volume.config))
                elif volume.secret:
                    wanted["secret"].append(msgspec.to_builtins(volume.secret))
            configurations = self._ask("configuration", wanted["configuration"], Configuration)
            secrets = self._ask("secret", wanted["secret"], BaetylSecret)
            for kind, found in (("configuration", configurations), ("secret", secrets)):
                for each in found:
                    self._keep(kind, each)
            self._keep("application", body)

    def _keep(self, kind: str, body: Any) -> None:
        if not body.name or not body.version:
            raise AgentFailed(f"{kind} does not have name or version")
        self._store.setdefault((kind, body.name, body.version), body)

    def _kept(self, kind: str, name: str, version: str) -> Any:
        try:
            return self._store[kind, name, version]
        except KeyError:
            raise AgentFailed(f"failed to get {kind} name: ({name}) version: ({version})") from None

    def _apply(self, app: dict[str, str]) -> None:
        body = self._kept("application", app["name"], app["version"])
        for volume in body.volumes or []:
            if volume.config:
                config = self._kept("configuration", volume.config.name, volume.config.version)
                self.files[config.name] = {k: v.encode() for k, v in (config.data or {}).items()}
            elif volume.secret:
                secret = self._kept("secret", volume.secret.name, volume.secret.version)
                if (secret.labels or {}).get("secret-type") == "registry":
                    data = {key: text.decode() for key, text in secret.data.items()}
                    self.pull_secrets[secret.name] = data
                else:
                    self.files[secret.name] = dict(secret.data or {})

    def _ask(self, kind: str, infos: Infos, body: type[T]) -> list[T]:
        """Bodies of *infos*, all in one request; none where there is nothing to ask for."""
        if not infos:
            return []
        asked = [{"kind": kind, **info} for info in infos]
        self._random.shuffle(asked)
        text = template_pass(self.link.desire({"infos": asked}).decode(), ENVIRONMENT)
        answer = msgspec.json.decode(text, type=Values)
        found = []
        for value in answer.values or []:
            if value.kind != kind:
                raise AgentFailed(f"failed to sync {kind} ({value.name}) ({value.version})")
            found.append(msgspec.convert(value.value, body, strict=True))
        return found


def app_infos(data: Mapping[str, Any], key: str) -> Infos | None:
    """The apps *data* names; None where it names none. Panic on one without its parts."""
    entries = data.get(key)
    if not isinstance(entries, list):
        return None
    for entry in entries:
        if not isinstance(entry, dict):
            raise Panic(f"interface conversion: {key} holds {entry!r}")
        for part in ("name", "version"):
            if not isinstance(entry.get(part), str):
                raise Panic(f"interface conversion: {part} of {entry!r} is not string")
    return [{"name": entry["name"], "version": entry["version"]} for entry in entries]


def aligned(reported: Infos, desired: Infos) -> Infos:
    """*reported* in the order of *desired*; what that does not name comes last."""
    if not reported or not desired:
        return reported
    by_name = {app["name"]: app for app in reported}
    first = [by_name.pop(app["name"]) for app in desired if app["name"] in by_name]
    return [*first, *by_name.values()]


def merge_patch(report: Mapping[str, Any], desire: Mapping[str, Any]) -> dict[str, Any]:
    """What makes *report* into *desire* (RFC 7386); lists compared in order, the rest null."""
    patch: dict[str, Any] = {key: None for key in report if key not in desire}
    for key, value in desire.items():
        before = report.get(key)
        if isinstance(value, dict) and isinstance(before, dict):
            if inner := merge_patch(before, value):
                patch[key] = inner
        elif key not in report or before != value:
            patch[key] = value
    return patch
