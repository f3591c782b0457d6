"""A server that makes keys, as stock agents need, and what is described on it."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.end_to_end.conftest import Identity, Server, kv, make_batch, running_server


@dataclass
class AgentCloud:
    """A running server and its operator."""

    server: Server
    api: httpx.Client
    folder: Path
    numbers: "count[int]"

    def name(self, stem: str) -> str:
        """A name that no other test uses."""
        return f"{stem}-{next(self.numbers)}"

    def call(self, method: str, path: str, body: Any = None) -> Any:
        answer = self.api.request(method, path, json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def activate(self, batch: dict[str, Any], fingerprint: str, path: str = "/v1/active") -> Any:
        """What the server answers an agent that activates as *fingerprint*."""
        claim = {
            "batchName": batch["name"],
            "namespace": "default",
            "fingerprintValue": fingerprint,
            "securityType": batch["securityType"],
            "securityValue": batch.get("securityKey", ""),
            "mode": "native",
            "penetrateData": {"batch": batch["name"], "namespace": "default"},
        }
        with self.server.devices() as client:
            answer = client.post(path, content=json.dumps(claim).encode())
        assert answer.status_code == 200, answer.text
        return answer.json()

    def node(self, **batch_fields: Any) -> Identity:
        """A new node of a batch of its own, activated as an agent does it."""
        return self.node_of(make_batch(self.api, self.name("batch"), **batch_fields))

    def node_of(self, batch: dict[str, Any]) -> Identity:
        """A new node of *batch*."""
        answer = self.activate(batch, self.name("edge"))
        folder = self.folder / answer["nodeName"]
        folder.mkdir()
        for file, key in (("ca", "ca"), ("cert", "cert"), ("key", "key")):
            (folder / f"{file}.pem").write_text(answer["mqttCert"][key])
        return Identity(
            answer["nodeName"], folder / "ca.pem", folder / "cert.pem", folder / "key.pem"
        )

    def app(self, name: str, selector: str, *, image: str = "nginx:1", **parts: Any) -> Any:
        """An app with one service; *parts* are its volumes and registries."""
        service = {"name": name, "image": image}
        body = {"name": name, "type": "container", "selector": selector, "labels": {}}
        return self.call("POST", "/v1/apps", {**body, "services": [service], **parts})

    def config(self, name: str, **files: str) -> Any:
        data = [kv(key.replace("_", "."), text) for key, text in files.items()]
        return self.call("POST", "/v1/configs", {"name": name, "data": data})

    def stats(self, identity: Identity) -> Any:
        return self.call("GET", f"/v1/nodes/{identity.name}/stats")["report"]


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentCloud]:
    folder = tmp_path_factory.mktemp("baetyl")
    running = running_server(folder / "data", "--server-generated-keys")
    with running as server, server.client() as api:
        yield AgentCloud(server, api, folder, count(1))
