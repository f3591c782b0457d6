"""A server as small as docs/protocol.md allows: pure, one desired state for every node."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agent_sim.wire import MessageKind, NodeMessage
from broker.topics import Channel

TIME = {"time": "2026-11-23T12:00:00Z"}


@dataclass
class ServerModel:
    # Name to body; a body holds its version.
    apps: dict[str, dict[str, Any]] = field(default_factory=dict)
    files: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    clock: int = 0

    def put_file(self, kind: str, name: str, text: str = "text") -> None:
        """Create or change a `configuration` or `secret`; every app that mounts it changes too."""
        self.clock += 1
        content = text if kind == "configuration" else base64.b64encode(text.encode()).decode()
        self.files[kind, name] = {
            "name": name,
            "namespace": "default",
            "version": str(self.clock),
            "data": {"file": content},
        }
        for app, body in list(self.apps.items()):
            if (kind, name) in _mounted(body):
                self.put_app(app, *_mounted(body), replica=body["services"][0]["replica"])

    def put_app(self, name: str, *mounted: tuple[str, str], replica: int = 1) -> None:
        self.clock += 1
        volumes = [
            {
                "name": f"v{index}",
                {"configuration": "config"}.get(kind, kind): {
                    "name": file,
                    "version": self.files.get((kind, file), {"version": "0"})["version"],
                },
            }
            for index, (kind, file) in enumerate(mounted)
        ]
        self.apps[name] = {
            "name": name,
            "namespace": "default",
            "version": str(self.clock),
            "type": "container",
            "services": [
                {
                    "name": name,
                    "image": "image:1",
                    "replica": replica,
                    "volumeMounts": [
                        {"name": volume["name"], "mountPath": "/x"} for volume in volumes
                    ],
                }
            ],
            "volumes": volumes,
        }

    def remove_app(self, name: str) -> None:
        self.clock += 1
        self.apps.pop(name, None)

    @property
    def versions(self) -> dict[str, str]:
        return {name: body["version"] for name, body in self.apps.items()}

    def delta(self, reported: Mapping[str, str]) -> dict[str, Any]:
        if dict(reported) == self.versions:
            return {}
        return {"apps": [{"name": n, "version": v} for n, v in self.versions.items()]}

    def push(self) -> NodeMessage:
        """What is pushed without a report: the whole desired state, as no report narrows it."""
        apps = [{"name": n, "version": v} for n, v in self.versions.items()]
        return NodeMessage(MessageKind.REPORT, {"apps": apps}, TIME)

    def answer(self, channel: Channel, message: NodeMessage) -> tuple[Channel, NodeMessage] | None:
        if channel is Channel.REPORT:
            reported = {app["name"]: app["version"] for app in message.content["apps"]}
            meta = {"seq": message.meta["seq"], "run": message.meta["run"], **TIME}
            return Channel.DELTA, NodeMessage(MessageKind.REPORT, self.delta(reported), meta)
        if channel is Channel.DESIRE:
            return Channel.DESIRE_RESPONSE, self._desire(message)
        return None

    def _desire(self, message: NodeMessage) -> NodeMessage:
        meta = {**message.meta, **TIME}
        allowed = {key for body in self.apps.values() for key in _mounted(body)}
        values = []
        for info in message.content["infos"]:
            kind, name = info["kind"], info["name"]
            if kind == "application":
                body = self.apps.get(name)
            else:
                body = self.files.get((kind, name)) if (kind, name) in allowed else None
            if body is None:
                return NodeMessage(
                    MessageKind.ERROR, f"{name}?", {**meta, "code": "ResourceNotFound"}
                )
            values.append({"kind": kind, "name": name, "version": body["version"], "value": body})
        return NodeMessage(MessageKind.DESIRE, {"values": values}, meta)


def _mounted(body: Mapping[str, Any]) -> list[tuple[str, str]]:
    kinds = {"config": "configuration", "secret": "secret"}
    return [
        (kinds[key], volume[key]["name"])
        for volume in body["volumes"]
        for key in kinds
        if key in volume
    ]
