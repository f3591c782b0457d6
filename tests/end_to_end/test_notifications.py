"""Notifications of a real server: a crash loses none and sends none twice."""

import signal
from pathlib import Path

import httpx

from tests.end_to_end.conftest import running_server, wait_for
from tests.jobs.receiver import receiving
from tests.ports import free_port


def deliveries(api: httpx.Client) -> list[tuple[str, bool]]:
    """State of each message of the channel, and whether an attempt failed."""
    found = api.get("/v1/channels/hook").json()["deliveries"]
    return [(one["state"], bool(one["error"])) for one in found]


def test_a_notification_survives_its_receiver_and_the_server(tmp_path: Path) -> None:
    port = free_port()
    data = tmp_path / "data"
    channel = {"name": "hook", "type": "webhook", "url": f"http://127.0.0.1:{port}/alert"}
    rule = {"channels": ["hook"], "events": ["config.created"], "gatherSeconds": 2}
    flags = ("--public-url", "https://edgesync.example.com/fleet/")
    with running_server(data, *flags) as server, server.client() as api:
        secret = api.post("/v1/channels", json=channel).json()["secret"]
        api.post("/v1/notificationrules", json={"name": "made", **rule}).raise_for_status()
        for name in ("a", "b", "c"):
            api.post("/v1/configs", json={"name": name, "data": []}).raise_for_status()
        server.stop(signal.SIGKILL)  # while the group is gathered, or before
    with running_server(data, *flags) as server, server.client() as api:
        wait_for(lambda: deliveries(api) == [("waiting", True)], "the first attempt")
        with receiving(port) as receiver:
            wait_for(lambda: deliveries(api) == [("sent", False)], "the message")
            (got,) = receiver.got
        assert got.is_signed_with(secret)
        assert (got.json["count"], sorted(got.json["nodes"])) == (3, ["a", "b", "c"])
        assert got.json["url"] == "https://edgesync.example.com/fleet/#/events"
        events = api.get("/v1/events?kind=channel").json()["items"]
        assert [one["type"] for one in events] == ["channel.created"]
