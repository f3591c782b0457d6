"""Commands from a real server to real nodes, in JSON and in MessagePack."""

import signal
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from tests.deadlines import UNIT
from tests.end_to_end.conftest import activate, make_app, make_batch, running_server, wait_for
from tests.end_to_end.node import connected
from tests.end_to_end.test_simulated_nodes import NODES, runs, simulated
from tests.ports import free_port


def ask(api: httpx.Client, node: str, command: str, **more: Any) -> dict[str, Any]:
    answer = api.post(f"/v1/nodes/{node}/commands", json={"command": command, **more})
    assert answer.status_code == 200, answer.text
    given: dict[str, Any] = answer.json()
    return given


def end_of(api: httpx.Client, node: str, given: dict[str, Any]) -> dict[str, Any]:
    ended: dict[str, Any] = api.get(f"/v1/nodes/{node}/commands/{given['id']}?wait=30").json()
    return ended


def started(api: httpx.Client, node: str) -> str:
    (app,) = api.get(f"/v1/nodes/{node}/stats").json()["report"]["appstats"]
    (instance,) = app["instances"].values()
    return str(instance.get("createTime", ""))


def test_nodes_do_what_is_asked_also_when_they_and_the_server_were_away(tmp_path: Path) -> None:
    data, nodes, port = tmp_path / "data", tmp_path / "nodes", ("--mqtt-port", str(free_port()))
    with running_server(data, *port) as server, server.client() as api:
        batch = make_batch(api, labels={"role": "gateway"})
        make_app(api, selector="role=gateway")
        with simulated(server, batch, nodes, "--interval", "300"):
            for node in NODES:
                wait_for(partial(runs, api, node, "web"), f"{node} to run the app")
                log = end_of(api, node, ask(api, node, "logs", app="web"))
                assert (log["status"], log["cut"]) == ("done", False), log
                assert " applied web version " in log["output"].splitlines()[-1]
                assert end_of(api, node, ask(api, node, "report"))["status"] == "done"
                again = end_of(api, node, ask(api, node, "restart", app="web"))
                assert (again["status"], again["cause"]) == ("done", "")
                assert runs(api, node, "web")
                assert started(api, node)[:19] >= again["createTime"][:19]
                gone = end_of(api, node, ask(api, node, "restart", app="gone"))
                assert (gone["status"], gone["cause"]) == ("failed", "there is no such app here")
        late = ask(api, NODES[0], "report", seconds=1)
        assert end_of(api, NODES[0], late)["status"] == "expired"
        waiting = [ask(api, node, "restart", app="web", seconds=600) for node in NODES]
        server.stop(signal.SIGKILL)

    with running_server(data, *port) as server, server.client() as api:
        assert [end_of_now(api, *pair)["status"] for pair in zip(NODES, waiting, strict=True)] == [
            "waiting",
            "waiting",
        ]
        with simulated(server, batch, nodes):
            for node, given in zip(NODES, waiting, strict=True):
                assert end_of(api, node, given)["status"] == "done"
            assert end_of_now(api, NODES[0], late)["status"] == "expired"
        with simulated(server, batch, nodes, "--refuse-commands"):
            refused = end_of(api, NODES[1], ask(api, NODES[1], "report"))
            assert (refused["status"], refused["cause"]) == (
                "refused",
                "commands are switched off here",
            )


def end_of_now(api: httpx.Client, node: str, given: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = api.get(f"/v1/nodes/{node}/commands/{given['id']}").json()
    return found


def test_a_node_cannot_answer_for_another_nor_too_late_nor_without_end(tmp_path: Path) -> None:
    with running_server(tmp_path / "data") as server, server.client() as api:
        batch = make_batch(api)
        identities = [activate(server, batch, name) for name in ("good", "evil")]
        with connected(server, identities[0]) as good, connected(server, identities[1]) as evil:
            given = ask(api, "good", "logs")
            assert good.next("command")["content"]["id"] == given["id"]
            evil.send("command-response", "command", {"id": given["id"], "status": "done"})
            evil.acked.get(timeout=20 * UNIT)
            assert end_of_now(api, "good", given)["status"] == "sent"
            text = "x" * 500_000 + "the end"
            good.send("command-response", "command", {**done(given), "output": text})
            after = end_of(api, "good", given)
            assert (after["status"], after["cut"], len(after["output"])) == ("done", True, 65536)
            assert after["output"].endswith("xthe end")
            short = ask(api, "good", "report", seconds=1)
            assert end_of(api, "good", short)["status"] == "expired"
            good.send("command-response", "command", done(short))
            assert good.report(apps=[])["content"] == {}
            after = end_of_now(api, "good", short)
            assert (after["status"], after["cause"][:20]) == ("expired", "The command was sent")
            topic = identities[0].topic("command-response")
            evil.client.publish(topic, b"{}", qos=1)
            assert evil.disconnected.wait(20 * UNIT)


def done(given: dict[str, Any]) -> dict[str, Any]:
    return {"id": given["id"], "status": "done"}
