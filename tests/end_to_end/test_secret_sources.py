"""Secrets whose values are in a file, a variable and a Vault, from the API to a node and back."""

import base64
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import httpx
import pytest

from cloud.link.sync import ANSWERS_AT_ONCE
from cloud.store.archive import open_archive
from tests.deadlines import UNIT
from tests.end_to_end.conftest import (
    Identity,
    Server,
    activate,
    make_batch,
    running_server,
    wait_for,
)
from tests.end_to_end.node import MqttNode, connected
from tests.end_to_end.test_sync import apps_of, running
from tests.preloaded import run_edgesync
from tests.recipients import new_recipient
from tests.vault import Vault, answer, running_vault

SOURCES = {
    "file": {"file": "db/password"},
    "variable": {"env": "PASSWORD"},
    "vault": {"vault": "shop/db", "field": "password"},
}
VALUES = {"file": "file-value-1", "variable": "variable-value-1", "vault": "vault-value-1"}


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    with running_vault(tmp_path_factory.mktemp("vault")) as running:
        yield running


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("files")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, vault: Vault, files: Path) -> Iterator[Server]:
    """One server for all tests here; each has its own secret and node."""
    flags = ["--secret-source-dir", str(files), "--secret-variable-prefix", "SHOP_"]
    flags += ["--secret-refresh-seconds", "1", *vault.flags()]
    place = tmp_path_factory.mktemp("server") / "data"
    variables = {"SHOP_DEFAULT__PASSWORD": VALUES["variable"], "SHOP_OTHER__PASSWORD": "other's"}
    with running_server(place, *flags, "--log-level", "debug", **variables) as running_one:
        yield running_one


@pytest.fixture
def values(vault: Vault, files: Path) -> None:
    vault.instead = None
    for name in ("db", "https"):
        vault.put(f"shop/{name}", password=VALUES["vault"])
    (files / "default" / "db").mkdir(parents=True, exist_ok=True)
    (files / "default" / "db" / "password").write_text(VALUES["file"])


def made(server: Server, api: httpx.Client, name: str) -> Identity:
    """A node *name* with an app of that name that uses a secret of that name.

    It has a path of its own in the vault: what was read for another is not used for it.
    """
    sources = {**SOURCES, "vault": {"vault": f"shop/{name}", "field": "password"}}
    secret = {"name": name, "data": {"plain": "plain-value"}, "dataFrom": sources}
    created = api.post("/v1/secrets", json=secret)
    assert created.status_code == 200, created.text
    batch = make_batch(api, name, labels={"role": name})
    app = {
        "name": name,
        "selector": f"role={name}",
        "services": [{"name": "s", "image": "nginx:1"}],
        "volumes": [{"name": "s", "secret": {"name": name}}],
    }
    created = api.post("/v1/apps", json=app)
    assert created.status_code == 200, created.text
    return activate(server, batch, name)


def data_of(answered: Any) -> dict[str, str]:
    [value] = answered["content"]["values"]
    return {key: base64.b64decode(x).decode() for key, x in value["value"]["data"].items()}


def texts_of(server: Server) -> str:
    """All that the server has written, and what its API shows."""
    files = [path for path in server.data_dir.rglob("*") if path.is_file()]
    return b"\n".join(path.read_bytes() for path in files).decode(errors="replace")


def shown(api: httpx.Client) -> str:
    paths = (
        *("/v1/secrets/db", "/v1/secrets", "/v1/secrets/db/revisions", "/v1/audit", "/v1/events"),
        *("/v1/secrets/db/revisions/1", "/metrics", "/v1/nodes/db/explain"),
    )
    return "\n".join(api.get(path).text for path in paths)


def pushed_app(node: MqttNode, name: str, old: str) -> str:
    """The version of the app that is sent, once it is another one than *old*."""
    while True:
        version = apps_of(node.next()).get(name, old)
        if version != old:
            return version


@pytest.mark.slow  # begins a server
def test_a_node_gets_values_that_nothing_else_shows_and_follows_their_changes(
    server: Server, vault: Vault, files: Path, values: None, tmp_path: Path
) -> None:
    with server.client() as api:
        identity = made(server, api, "db")
        with connected(server, identity) as node:
            version = apps_of(node.report(apps=[]))["db"]
            assert data_of(node.fetch(("secret", "db"))) == {"plain": "plain-value", **VALUES}
            node.report(**running("db", version))

            vault.put("shop/db", password="vault-value-2")
            version = pushed_app(node, "db", version)
            assert data_of(node.fetch(("secret", "db")))["vault"] == "vault-value-2"
            node.report(**running("db", version))

            # what cannot be read is not delivered, and the node keeps what it has
            vault.instead = lambda handler: answer(handler, 403, {})
            wait_for(lambda: source_of(api)["error"], "the failure")
            assert "answered 403" in source_of(api)["error"]
            assert "edgesync_secrets_unreadable 1.0" in api.get("/metrics").text
            refused = node.fetch(("secret", "db"))
            assert refused["kind"] == "error"
            assert "source of the secret (db) cannot be read" in refused["content"]
            assert api.get("/v1/nodes/db/explain").json()["converged"] is True
            api.put("/v1/secrets/db", json={"data": {}, "dataFrom": SOURCES})
            explained = wait_for(lambda: not_converged(api), "the explanation")
            assert "the secret db cannot be read: vault: vault shop/db" in explained["message"]
            types = [one["type"] for one in api.get("/v1/events").json()["items"]]
            assert "secret.failed" in types

            vault.instead = None
            wait_for(lambda: source_of(api)["readable"], "the vault to be read again")
            delivered = wait_for(lambda: fetched(node), "the values")
            assert delivered["vault"] == "vault-value-2"
        backup, owner = tmp_path / "backup", new_recipient()
        arguments = ("backup", str(backup), "--data-dir", str(server.data_dir))
        done = run_edgesync(*arguments, "--recipient", owner.public_key)
        assert done.returncode == 0, done.stderr
        found = texts_of(server) + shown(api)
    with open_archive(backup, owner.decrypt) as parts:
        found += b"\n".join(content for _, content in parts).decode(errors="replace")
    assert "dataFrom" in found
    for value in (*VALUES.values(), "vault-value-2"):
        assert value not in found
        assert base64.b64encode(value.encode()).decode() not in found


def source_of(api: httpx.Client) -> dict[str, Any]:
    source: dict[str, Any] = api.get("/v1/secrets/db").json()["source"]
    return source


def not_converged(api: httpx.Client) -> dict[str, Any] | None:
    found: dict[str, Any] = api.get("/v1/nodes/db/explain").json()
    return None if found["converged"] or "cannot be read" not in found["message"] else found


def fetched(node: MqttNode) -> dict[str, str] | None:
    answered = node.fetch(("secret", "db"))
    return data_of(answered) if answered["kind"] != "error" else None


@pytest.mark.slow  # begins a server
def test_values_are_delivered_over_https_too(server: Server, values: None) -> None:
    with server.client() as api:
        identity = made(server, api, "https")
    with httpx.Client(base_url=server.sync, verify=identity.context()) as node:
        body = {"infos": [{"kind": "secret", "name": "https", "version": ""}]}
        answered = node.post("/v1/sync/desire", json=body)
    assert answered.status_code == 200, answered.text
    assert {**data_of({"content": answered.json()})} == {"plain": "plain-value", **VALUES}


@pytest.fixture
def silent(vault: Vault, values: None) -> Iterator[threading.Event]:
    """A vault that answers only once this is set, or too late."""
    answers = threading.Event()
    vault.asked.clear()

    def wait(handler: BaseHTTPRequestHandler) -> None:
        answers.wait(10)
        answer(handler, 200, {"data": {"data": {"password": "late"}}})

    vault.instead = wait
    yield answers
    answers.set()
    vault.instead = None


def without_sources(api: httpx.Client, name: str) -> None:
    api.put(f"/v1/secrets/{name}", json={"data": {"plain": "x"}}).raise_for_status()


@pytest.mark.slow  # begins a server
def test_a_slow_vault_holds_up_no_other_node(
    server: Server, vault: Vault, silent: threading.Event
) -> None:
    with server.client() as api:
        waiting, other = made(server, api, "waiting"), made(server, api, "quick")
        without_sources(api, "quick")
        with connected(server, waiting) as slow, connected(server, other) as quick:
            slow.report(apps=[])
            quick.report(apps=[])
            info = {"kind": "secret", "name": "waiting", "version": ""}
            slow.send("desire", "desire", {"infos": [info]})
            wait_for(lambda: vault.asked, "the vault")
            assert data_of(quick.fetch(("secret", "quick"))) == {"plain": "x"}
            assert slow.received["desire-response"].empty()
            silent.set()
            assert data_of(slow.next("desire-response"))["vault"] == "late"


@pytest.mark.slow  # begins a server
def test_a_slow_vault_holds_up_no_other_node_over_https(
    server: Server, vault: Vault, silent: threading.Event
) -> None:
    with server.client() as api:
        waiting, other = made(server, api, "waits"), made(server, api, "other")
        without_sources(api, "other")

    def desire(identity: Identity) -> httpx.Response:
        body = {"infos": [{"kind": "secret", "name": identity.name, "version": ""}]}
        with httpx.Client(base_url=server.sync, verify=identity.context()) as node:
            return node.post("/v1/sync/desire", json=body, timeout=30 * UNIT)

    with ThreadPoolExecutor(2 * ANSWERS_AT_ONCE) as threads:
        slow = [threads.submit(desire, waiting) for _ in range(2 * ANSWERS_AT_ONCE)]
        wait_for(lambda: vault.asked, "the vault")
        assert desire(other).status_code == 200
        assert not [one for one in slow if one.done()]
        silent.set()
        assert {one.result(timeout=30 * UNIT).status_code for one in slow} == {200}


@pytest.mark.slow  # begins a server
def test_names_of_others_are_refused_when_they_are_written(server: Server, values: None) -> None:
    with server.client() as api:
        for source in ({"file": "../other/db"}, {"env": "PATH "}, {"file": "a", "env": "A"}):
            body = {"name": "bad", "data": {}, "dataFrom": {"k": source}}
            refused = api.post("/v1/secrets", json=body)
            assert (refused.status_code, refused.json()["field"][:10]) == (400, "dataFrom.k")
        body = {"name": "dry", "data": {}, "dataFrom": SOURCES}
        planned = api.post("/v1/secrets", json=body, params={"dryRun": "true"})
        assert planned.status_code == 200
        assert json.dumps(SOURCES["vault"])[1:-1] in json.dumps(planned.json())
        assert not [value for value in VALUES.values() if value in planned.text]
