"""mosquitto_pub and mosquitto_sub as nodes."""

import json
import os
import shutil
import subprocess
from typing import Any

import httpx
import pytest

from tests.end_to_end.conftest import Identity, Server, activate, make_app, make_batch

pytestmark = [
    pytest.mark.mosquitto,
    pytest.mark.skipif(
        shutil.which("mosquitto_rr") is None and "CI" not in os.environ,
        reason="mosquitto's command line clients are not installed",
    ),
]


def options(server: Server, identity: Identity) -> list[str]:
    return [
        *("-h", "localhost", "-p", str(server.mqtt_port), "-i", identity.node_id, "-V", "mqttv311"),
        *("--cafile", str(identity.ca), "--cert", str(identity.cert), "--key", str(identity.key)),
    ]


def run(*command: str, **kwargs: Any) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command, capture_output=True, text=True, timeout=20, check=False, **kwargs
    )


def test_a_report_by_mosquitto_rr_is_answered_with_the_delta(
    server: Server, api: httpx.Client
) -> None:
    identity = activate(server, make_batch(api), "n1")
    version = make_app(api, selector="baetyl-node-name=n1")["version"]
    report = json.dumps({"kind": "report", "meta": {"seq": 1}, "content": {"apps": []}})
    command = ["mosquitto_rr", *options(server, identity), "-W", "10", "-q", "1"]
    command += ["-t", identity.topic("report"), "-e", identity.topic("delta"), "-m", report]
    done = run(*command)
    answer = json.loads(done.stdout)
    assert answer["content"]["apps"] == [{"name": "web", "version": version}]


def test_mosquitto_pub_delivers_a_report_and_mosquitto_sub_hears_a_push(
    server: Server, api: httpx.Client
) -> None:
    identity = activate(server, make_batch(api), "n1")
    report = json.dumps({"kind": "report", "content": {"apps": [], "node": {"hostname": "mq"}}})
    done = run(
        "mosquitto_pub", *options(server, identity), "-q", "1",
        "-t", identity.topic("report"), "-m", report,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert api.get("/v1/nodes/n1/stats").json()["report"]["node"]["hostname"] == "mq"
    listener = subprocess.Popen(
        ["stdbuf", "-oL", "mosquitto_sub", *options(server, identity),
         "-d", "-q", "1", "-C", "1", "-W", "15", "-t", identity.topic("delta")],
        stdout=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    with listener:
        assert listener.stdout is not None
        for line in listener.stdout:
            if "received SUBACK" in line:
                break
        make_app(api, selector="baetyl-node-name=n1")
        pushed = next(line for line in listener.stdout if line.startswith("{"))
    assert [app["name"] for app in json.loads(pushed)["content"]["apps"]] == ["web"]


def test_another_client_id_or_topic_is_refused(server: Server, api: httpx.Client) -> None:
    batch = make_batch(api)
    mine, theirs = (activate(server, batch, name) for name in ("n1", "n2"))
    command = options(server, mine)
    publish = ["-q", "1", "-t", mine.topic("report"), "-m", "{}"]
    wrong_id = [theirs.node_id if part == mine.node_id else part for part in command]
    assert run("mosquitto_pub", *wrong_id, *publish).returncode != 0
    other_topic = [theirs.topic("report") if p == mine.topic("report") else p for p in publish]
    assert run("mosquitto_pub", *command, *other_topic).returncode != 0
    assert run("mosquitto_pub", *command, *publish).returncode == 0
