"""An observer of both links, of the disk and of backups finds no value of a secret."""

import base64
import json
import os
import secrets
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from cloud.store.archive import open_archive
from tests.deadlines import UNIT
from tests.end_to_end.conftest import (
    Identity,
    Server,
    activate,
    claim_for,
    kv,
    make_batch,
    running_server,
    wait_for,
)
from tests.end_to_end.node import connected
from tests.end_to_end.sim import simulated
from tests.end_to_end.tap import TlsTap
from tests.end_to_end.test_install_command import command_for, token_in
from tests.node_keys import NodeKeys
from tests.preloaded import run_edgesync
from tests.recipients import new_recipient

SECRET, PASSWORD = secrets.token_urlsafe(30), secrets.token_urlsafe(30)
SCRIPT = """#!/bin/sh
trap 'exit 0' TERM
while :; do sleep 0.2; done
"""


def forms_of(value: str) -> list[bytes]:
    """How *value* could be found in a file: as it is, in hexadecimal digits and in base64.

    Base64 within something longer begins at any third of its digits.
    """
    raw = value.encode()
    found = [raw, raw.hex().encode(), raw.hex().upper().encode()]
    for skipped in range(3):
        part = raw[skipped : len(raw) - (len(raw) - skipped) % 3]
        found += [base64.b64encode(part), base64.urlsafe_b64encode(part)]
    return found


def traces(data: bytes) -> list[str]:
    """The values that are in *data* in some form."""
    return [v for v in (SECRET, PASSWORD) if any(form in data for form in forms_of(v))]


def traces_below(folder: Path) -> list[str]:
    found = []
    for path in folder.rglob("*"):
        if path.is_file() and traces(path.read_bytes()):
            found.append(str(path))
    return found


def test_a_value_is_recognised_in_each_of_its_forms() -> None:
    raw = SECRET.encode()
    for hidden in (raw, raw.hex().encode(), *(base64.b64encode(b"x" * n + raw) for n in range(4))):
        assert traces(b"before " + hidden + b" after") == [SECRET]
    assert traces(PASSWORD.encode()[1:]) == []


def describe(api: httpx.Client) -> None:
    """An app of processes with a secret and a registry, for nodes with the role gateway."""
    data = [kv("program.yml", "entry: run.sh"), kv("run.sh", SCRIPT)]
    service = {
        "name": "main",
        "programConfig": "program",
        "volumeMounts": [{"name": "own", "mountPath": "/etc/app", "readOnly": True}],
    }
    app = {
        "name": "talker",
        "mode": "native",
        "selector": "role=gateway",
        "services": [service],
        "volumes": [{"name": "own", "secret": {"name": "pw"}}],
        "registries": [{"name": "hub"}],
    }
    hub = {"name": "hub", "address": "hub.example", "username": "me", "password": PASSWORD}
    for path, body in (
        ("configs", {"name": "program", "data": data}),
        ("secrets", {"name": "pw", "data": {"pw": SECRET}}),
        ("registries", hub),
        ("apps", app),
    ):
        answer = api.post(f"/v1/{path}", json=body)
        assert answer.status_code == 200, answer.text


def is_running(api: httpx.Client, node: str) -> bool:
    report = api.get(f"/v1/nodes/{node}/stats").json().get("report") or {}
    return any(one["status"] == "Running" for one in report.get("appstats") or ())


@contextmanager
def agent_on(server: Server, api: httpx.Client, home: Path, port: int) -> Iterator[None]:
    """The node agent as the node `gate`, with its hub at that port."""
    api.post("/v1/nodes", json={"name": "gate", "labels": {"role": "gateway"}})
    settings = {
        "kind": "node",
        "name": "gate",
        "token": token_in(command_for(api, "nodes/gate")),
        "activation": server.activation,
        "mqttHost": "localhost",
        "mqttPort": port,
    }
    own = {"DOCKER_HOST": f"unix://{home}/none.sock", "HOME": str(home.parent)}
    environment = {**os.environ, **own}
    command = [sys.executable, "-m", "edgesync_agent"]
    subprocess.run(
        [*command, "activate", "--home", str(home), "--ca", server.ca],
        input=json.dumps(settings),
        env=environment,
        text=True,
        check=True,
        timeout=30 * UNIT,
        stdout=subprocess.PIPE,
    )
    with (home.parent / "agent.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "run", "--home", str(home)], env=environment, stdout=log, stderr=log
        )
        try:
            yield
        finally:
            process.terminate()
            process.wait(timeout=30 * UNIT)
            subprocess.run(
                [*command, "uninstall", "--home", str(home)],
                env=environment,
                check=True,
                timeout=30 * UNIT,
                stdout=subprocess.PIPE,
            )


def as_agent(folder: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


@pytest.mark.slow  # two agents, a server and a backup
def test_no_value_is_on_the_wire_on_the_disk_or_in_a_backup(tmp_path: Path) -> None:
    nodes, home = tmp_path / "nodes", tmp_path / "machine" / "agent"
    home.parent.mkdir()
    places = {"default.gate": home / "identity", "default.sim-0001": nodes / "sim-0001"}
    with (
        running_server(tmp_path / "data") as server,
        server.client() as api,
        TlsTap(
            server.mqtt_port, server.data_dir / "ca", lambda node: as_agent(places[node])
        ) as tap,
    ):
        describe(api)
        batch = make_batch(api, labels={"role": "gateway"})
        mqtt = ("--mqtt", f"localhost:{tap.port}")
        with (
            simulated(server, batch, nodes, 1, *mqtt, interval=0.5),
            agent_on(server, api, home, tap.port),
        ):
            for name in ("gate", "sim-0001"):
                wait_for(lambda: is_running(api, name), f"{name} to run the app", units=60)  # noqa: B023
            assert traces_below(home) == []
            assert traces_below(nodes) == []
        assert b'"sealed"' in tap.seen
        assert b"program.yml" in tap.seen, "what is not secret is seen"
        assert traces(bytes(tap.seen)) == []

        identity, keys = activated_with_key(server, batch, "raw")
        assert traces(over_https(server, identity, keys)) == []
        backup, owner = tmp_path / "backup", new_recipient()
        arguments = ("backup", str(backup), "--data-dir", str(server.data_dir))
        done = run_edgesync(*arguments, "--recipient", owner.public_key)
        assert done.returncode == 0, done.stderr
        assert traces(backup.read_bytes()) == []
        with open_archive(backup, owner.decrypt) as parts:
            assert [name for name, content in parts if traces(content)] == []
        assert traces_below(server.data_dir) == []
        assert traces((home.parent / "agent.log").read_bytes()) == []


def activated_with_key(
    server: Server, batch: dict[str, Any], name: str
) -> tuple[Identity, NodeKeys]:
    """A node that proved an encryption key with its activation."""
    identity = activate(server, batch, name)
    keys = keys_of(identity)
    with server.devices() as client:
        claim = claim_for(batch, name, csr_of(keys))
        answer = client.post(
            "/v1/active", json={**claim, "encryptionKey": keys.proof(int(time.time()))}
        )
    assert answer.status_code == 200, answer.text
    identity.cert.write_text(answer.json()["certificate"]["cert"])
    return identity, keys


def keys_of(identity: Identity) -> NodeKeys:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    found: Any = load_pem_private_key(identity.key.read_bytes(), None)
    return NodeKeys(found)


def csr_of(keys: NodeKeys) -> str:
    from agent_sim.activation import signing_request

    return signing_request(keys.signer, "node")


INFOS = {"infos": [{"kind": "secret", "name": "pw"}, {"kind": "secret", "name": "hub"}]}


def over_https(server: Server, identity: Identity, keys: NodeKeys) -> bytes:
    """What the link carries below TLS for a node that requests its secrets; they open."""
    with httpx.Client(base_url=server.sync, verify=identity.context()) as client:
        asked = {"apps": [], "encryptionKey": keys.proof(int(time.time()))}
        assert client.post("/v1/sync/report", json=asked).status_code == 200
        answer = client.post("/v1/sync/desire", json=INFOS)
    secret, hub = (value["value"] for value in answer.json()["values"])
    assert keys.opened(identity.node_id, secret) == {"pw": base64_of(SECRET)}
    assert keys.opened(identity.node_id, hub)["password"] == base64_of(PASSWORD)
    return answer.content


def base64_of(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_keys_are_proved_rotated_and_withdrawn_over_both_links(
    server: Server, api: httpx.Client
) -> None:
    describe(api)
    batch = make_batch(api, labels={"role": "gateway"})
    identity, keys = activated_with_key(server, batch, "raw")
    over_https(server, identity, keys)
    later, now = NodeKeys(keys.signer), int(time.time())
    with connected(server, identity) as node:
        asked = [("secret", "pw")]

        def received() -> Any:
            return node.fetch(*asked)["content"]["values"][0]["value"]

        # Another device in the middle puts its own key in the place of the node's.
        refused = node.report(apps=[], encryptionKey=NodeKeys().proof(now + 60))
        assert refused["kind"] == "error"
        assert "encryptionKey.signer" in refused["content"]
        assert keys.opened(identity.node_id, received()) == {"pw": base64_of(SECRET)}
        # The node has another one; the one before comes once more and changes nothing.
        node.report(apps=[], encryptionKey=later.proof(now + 60))
        node.report(apps=[], encryptionKey=keys.proof(now))
        assert later.opened(identity.node_id, received()) == {"pw": base64_of(SECRET)}
        with httpx.Client(base_url=server.sync, verify=identity.context()) as client:
            swap = {"apps": [], "encryptionKey": NodeKeys().proof(now + 90)}
            assert client.post("/v1/sync/report", json=swap).status_code == 400
        newest = NodeKeys(keys.signer)
        with httpx.Client(base_url=server.sync, verify=identity.context()) as client:
            content = {"apps": [], "encryptionKey": newest.proof(now + 120)}
            assert client.post("/v1/sync/report", json=content).status_code == 200
        assert newest.opened(identity.node_id, received()) == {"pw": base64_of(SECRET)}
    with server.devices() as client:
        # What proves nothing is refused with the field; so is a key that nothing proves.
        foreign = {**claim_for(batch, "raw", csr_of(keys)), "encryptionKey": NodeKeys().proof(now)}
        assert client.post("/v1/active", json=foreign).status_code == 400
        # The device comes back with a new key, as one that was installed anew.
        again = NodeKeys(keys.signer)
        claim = {**claim_for(batch, "raw", csr_of(keys)), "encryptionKey": again.proof(now + 180)}
        assert client.post("/v1/active", json=claim).status_code == 200
        assert (found := secret_over_https(server, identity))["sealed"]["key"] == again.key
        assert again.opened(identity.node_id, found) == {"pw": base64_of(SECRET)}
        # Repeated without one, or with one of before, an activation leaves it.
        claim = claim_for(batch, "raw", csr_of(keys))
        for repeated in (claim, {**claim, "encryptionKey": keys.proof(now)}):
            assert client.post("/v1/active", json=repeated).status_code == 200
            assert secret_over_https(server, identity)["sealed"]["key"] == again.key


def secret_over_https(server: Server, identity: Identity) -> Any:
    with httpx.Client(base_url=server.sync, verify=identity.context()) as client:
        answer = client.post("/v1/sync/desire", json=INFOS)
    assert answer.status_code == 200, answer.text
    return answer.json()["values"][0]["value"]


def test_a_device_without_a_signing_request_proves_no_key(tmp_path: Path) -> None:
    variables = {"EDGESYNC_SERVER_GENERATED_KEYS": "true"}
    with running_server(tmp_path / "data", **variables) as server, server.client() as api:
        claim = {**claim_for(make_batch(api), "n1", ""), "encryptionKey": NodeKeys().proof(1)}
        with server.devices() as client:
            answer = client.post("/v1/active", json=claim)
        assert answer.status_code == 400
        assert "encryptionKey" in answer.json()["message"]


def test_where_secrets_are_withheld_a_stock_node_gets_none_over_either_link(
    tmp_path: Path,
) -> None:
    variables = {"EDGESYNC_REQUIRE_SEALED_SECRETS": "other,default"}
    with running_server(tmp_path / "data", **variables) as server, server.client() as api:
        describe(api)
        batch = make_batch(api, labels={"role": "gateway"})
        stock = activate(server, batch, "stock")
        with httpx.Client(base_url=server.sync, verify=stock.context()) as client:
            assert client.post("/v1/sync/report", json={"apps": []}).json()["apps"]
            answer = client.post("/v1/sync/desire", json=INFOS)
        assert answer.status_code == 403
        assert answer.json()["code"] == "RequestForbidden"
        with connected(server, stock) as node:
            node.report(apps=[])
            refused = node.fetch(("secret", "pw"))
            assert refused["kind"] == "error"
            assert refused["meta"]["code"] == "RequestForbidden"
            assert "withheld" in refused["content"]
            body = node.fetch(("application", "talker"))
            assert body["content"]["values"][0]["name"] == "talker"
        assert traces(json.dumps([answer.text, refused, body]).encode()) == []
        explained = api.get("/v1/nodes/stock/explain").json()
        assert explained["state"]["secrets"] == "withheld"
        assert explained["apps"][0]["reason"] == "SecretsWithheld"
        identity, keys = activated_with_key(server, batch, "sealed")
        over_https(server, identity, keys)
        assert api.get("/v1/nodes/sealed").json()["state"]["secrets"] == "sealed"
