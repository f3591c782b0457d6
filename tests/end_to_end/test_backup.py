"""A backup taken under load and restored elsewhere: nothing acknowledged is lost, nodes go on."""

import os
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.end_to_end.conftest import (
    Server,
    kv,
    make_app,
    make_batch,
    running_server,
    wait_for,
)
from tests.end_to_end.sim import simulated
from tests.ports import free_port
from tests.preloaded import run_edgesync
from tests.recipients import new_recipient

NODES = ("sim-0001", "sim-0002")


def edgesync(*arguments: str) -> str:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("EDGESYNC_")}
    done = run_edgesync(*arguments, environment=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextmanager
def changing(server: Server) -> Iterator[list[int]]:
    """Change a config meanwhile, as fast as possible; return the last number acknowledged."""
    acknowledged, is_over = [0], threading.Event()

    def change() -> None:
        with server.client() as api:
            while not is_over.is_set():
                data = [kv("n", str(acknowledged[0] + 1))]
                try:
                    answer = api.put("/v1/configs/counted", json={"data": data})
                except httpx.HTTPError:
                    return
                assert answer.status_code == 200, answer.text
                acknowledged[0] += 1

    thread = threading.Thread(target=change)
    thread.start()
    try:
        yield acknowledged
    finally:
        is_over.set()
        thread.join(timeout=60)


def all_run(api: httpx.Client, version: str) -> bool:
    for name in NODES:
        stats = api.get(f"/v1/nodes/{name}/stats").json()
        running = [(app["name"], app["version"]) for app in stats.get("report", {}).get("apps", [])]
        if not stats.get("ready") or ("web", version) not in running:
            return False
    return True


def test_a_server_restored_elsewhere_is_the_same_to_its_nodes(tmp_path: Path) -> None:
    file, owner = tmp_path / "backup", new_recipient()
    recipient = ("--recipient", owner.public_key)
    identity = ("--identity-file", str(owner.identity_file(tmp_path)))
    ports = ("--mqtt-port", str(free_port()), "--activation-port", str(free_port()))
    with running_server(tmp_path / "data", *ports) as server, server.client() as api:
        batch = make_batch(api, labels={"role": "gateway"})
        api.post("/v1/configs", json={"name": "counted", "data": [kv("n", "0")]})
        app = make_app(api, selector="role=gateway")
        ca = tmp_path / "ca.pem"
        shutil.copy(server.ca, ca)
        server.ca, token = str(ca), server.token
        with simulated(server, batch, tmp_path / "nodes", len(NODES), interval=0.5):
            wait_for(lambda: all_run(api, app["version"]), "the nodes to run the app")
            with changing(server) as acknowledged:
                wait_for(lambda: acknowledged[0] >= 20, "changes")
                before = acknowledged[0]
                edgesync("backup", str(file), "--data-dir", str(server.data_dir), *recipient)
                wait_for(lambda: acknowledged[0] > before, "changes to go on")
                server.stop(signal.SIGKILL)
            shutil.rmtree(server.data_dir)

            assert " is intact: " in edgesync("verify", str(file), *identity)
            elsewhere = tmp_path / "elsewhere"
            output = edgesync("restore", str(file), "--data-dir", str(elsewhere), *identity)
            assert f"edgesync serve --data-dir {elsewhere}" in output
            settings = ("--config", str(elsewhere / "settings.toml"))
            with (
                running_server(elsewhere, *settings, *ports) as again,
                again.client() as there,
            ):
                assert again.token == token
                data = there.get("/v1/configs/counted").json()["data"]
                assert int(data[0]["value"]["value"]) >= before
                wait_for(lambda: all_run(there, app["version"]), "the nodes to be back", units=40)
                changed = there.patch(
                    "/v1/apps/web",
                    json={"description": "changed after the restore"},
                    headers={"Content-Type": "application/merge-patch+json"},
                ).json()
                assert int(changed["version"]) > int(app["version"]) + 1_000_000
                wait_for(lambda: all_run(there, changed["version"]), "the nodes to follow")
                log = edgesync("audit", "verify", "--data-dir", str(elsewhere))
                assert "entries verified" in log
