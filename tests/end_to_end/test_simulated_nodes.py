"""What `edgesync sim` gets from `edgesync serve`: code in an object store, functions to run."""

import hashlib
import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.deadlines import UNIT
from tests.end_to_end.conftest import Server, make_app, make_batch, running_server, wait_for
from tests.link.object_server import object_server
from tests.preloaded import ForkedProcess

KEYS = {"the-id-of-a-key": "the-secret-of-a-key"}
CODE = b"PK\x03\x04 what the functions are"
IMAGE = "registry.example.com/python:3.12"
NODES = ("sim-0001", "sim-0002")
"""The first speaks JSON, the second MessagePack."""


@pytest.fixture(scope="module")
def store() -> Iterator[str]:
    """An object store that gives the code to who shows that a holder of the key allows it."""
    with object_server(KEYS, {"box/greet/code.zip": CODE}) as endpoint:
        yield endpoint


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    arguments = ("--function-runtime", f"python3={IMAGE}", "--log-level", "debug")
    with running_server(tmp_path_factory.mktemp("objects") / "data", *arguments) as running:
        yield running


@pytest.fixture(scope="module")
def api(server: Server) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client


@contextmanager
def simulated(
    server: Server, batch: dict[str, Any], folder: Path, *arguments: str
) -> Iterator[None]:
    """Both nodes run meanwhile; what each holds is in a directory of its own below *folder*."""
    command = ["sim", "--count", str(len(NODES))]
    command += ["--batch", batch["name"], "--token", batch["securityKey"], "--ca", server.ca]
    command += ["--activation", server.activation, "--mqtt", f"127.0.0.1:{server.mqtt_port}"]
    command += ["--state-dir", str(folder), "--apply-delay", "0", "--interval", "0.5"]
    process = ForkedProcess([*command, *arguments], "/dev/null")
    try:
        yield
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=15 * UNIT) == 0
    finally:
        process.kill()
        process.wait(timeout=60)


@pytest.fixture(scope="module")
def batch(api: httpx.Client) -> dict[str, Any]:
    return make_batch(api, labels={"role": "gateway"})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("nodes")


@pytest.fixture(scope="module")
def held(
    server: Server, api: httpx.Client, store: str, batch: dict[str, Any], folder: Path
) -> dict[str, Any]:
    """What each node holds once it runs a function app with its code in the object store."""
    code = {
        "type": "object",
        "source": "minio",
        "endpoint": store,
        "bucket": "box",
        "object": "greet/code.zip",
        "unpack": "zip",
        "md5": hashlib.md5(CODE, usedforsecurity=False).hexdigest(),
        "ak": next(iter(KEYS)),
        "sk": next(iter(KEYS.values())),
    }
    post(api, "/v1/configs", {"name": "code", "data": [{"key": "code.zip", "value": code}]})
    service = {
        "name": "greet",
        "functionConfig": {"name": "code", "runtime": "python3"},
        "functions": [{"name": "hello", "handler": "index.handler", "codedir": "greet"}],
    }
    app = {"name": "fn", "type": "function", "selector": "role=gateway", "services": [service]}
    post(api, "/v1/apps", {**app, "labels": {}, "description": ""})
    with simulated(server, batch, folder):
        for node in NODES:
            wait_for(partial(runs, api, node, "fn"), f"{node} to run the app")
    found = {node: json.loads((folder / node / "apps.json").read_text()) for node in NODES}
    return {node: {app["name"]: app for app in kept["apps"]} for node, kept in found.items()}


def post(api: httpx.Client, path: str, body: Any) -> None:
    answer = api.post(path, json=body)
    assert answer.status_code == 200, answer.text


def runs(api: httpx.Client, node: str, app: str) -> bool:
    answer = api.get(f"/v1/nodes/{node}/stats")
    if answer.status_code != 200:
        return False
    stats = answer.json()["report"]["appstats"]
    return {"Running"} == {one["status"] for one in stats if one["name"] == app}


@pytest.mark.parametrize("node", NODES)
def test_a_node_downloads_the_object_and_sees_no_secret_key(
    server: Server, api: httpx.Client, held: dict[str, Any], node: str
) -> None:
    (code,) = [part for part in held[node]["fn"]["parts"] if part["info"]["name"] == "code"]
    ((_, item),) = code["body"]["data"].items()
    content = json.loads(item)
    download = httpx.get(content["url"])
    assert download.content == CODE
    assert hashlib.md5(download.content, usedforsecurity=False).hexdigest() == content["md5"]
    assert content["unpack"] == "zip"
    forged = content["url"].replace("greet/code.zip", "greet/other.zip")
    assert httpx.get(forged).status_code == 403
    secret = next(iter(KEYS.values()))
    shown = api.get("/v1/configs/code").text + api.get("/v1/configs").text
    for text in (json.dumps(held), shown, server.log()):
        assert secret not in text
    assert "X-Amz-Signature" not in server.log()


@pytest.mark.parametrize("node", NODES)
def test_a_function_app_brings_its_code_and_the_image_of_its_runtime(
    held: dict[str, Any], node: str
) -> None:
    body = held[node]["fn"]["body"]
    assert body["type"] == "function"
    (service,) = body["services"]
    assert service["image"] == IMAGE
    (mount,) = [m for m in service["volumeMounts"] if m["mountPath"] == "/var/lib/baetyl/code"]
    assert mount["readOnly"] is True
    assert mount["name"] == "baetyl-function-code-code"
    (volume,) = [volume for volume in body["volumes"] if volume["name"] == mount["name"]]
    (code,) = [part for part in held[node]["fn"]["parts"] if part["info"]["name"] == "code"]
    assert volume["config"] == {"name": "code", "version": code["body"]["version"]}
    (listed,) = [m for m in service["volumeMounts"] if m["mountPath"] != mount["mountPath"]]
    (volume,) = [volume for volume in body["volumes"] if volume["name"] == listed["name"]]
    (functions,) = [
        part["body"]["data"]
        for part in held[node]["fn"]["parts"]
        if part["info"]["name"] == volume["config"]["name"]
    ]
    assert "index.handler" in "".join(functions.values())


@pytest.mark.usefixtures("held")
def test_a_rollout_goes_from_pending_to_running(
    server: Server, api: httpx.Client, batch: dict[str, Any], folder: Path
) -> None:
    version = make_app(api, "later", selector="role=gateway")["version"]

    def rollout() -> Any:
        return api.get("/v1/apps/later/rollout").json()

    counts = {"name": "later", "version": version, "selected": 2, "failed": 0, "offline": 0}
    counts |= {"failures": [], "causes": []}
    before = {"running": 0, "pending": 2, "versions": []}
    after = {"running": 2, "pending": 0, "versions": [{"version": version, "nodes": 2}]}
    assert rollout() == {**counts, **before}
    with simulated(server, batch, folder):
        wait_for(lambda: rollout()["pending"] == 0, "both nodes to run the app")
    assert rollout() == {**counts, **after}
    change = api.get("/v1/overview").json()["lastChange"]
    assert (change["app"], change["converged"], change["pending"]) == ("later", 2, 0)
    for node in NODES:
        (point,) = api.get(f"/v1/nodes/{node}/usage").json()["items"][:1]
        assert 0 < point["memoryPercent"] < 1
