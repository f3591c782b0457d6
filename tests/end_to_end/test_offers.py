"""Versions that are offered to simulated nodes: for their window, and for the consent of users."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import httpx
import pytest

from tests.end_to_end.conftest import (
    make_app,
    make_batch,
    names_running,
    running_server,
    wait_for,
)
from tests.preloaded import ForkedProcess

CONSENT, WINDOW = "asks", "night"
"""The apps: one whose versions users accept, one that has a window."""

APPS = (CONSENT, WINDOW)

NODES = ["a1", "b1", "c1"]
"""One defers versions, one knows no offers, one accepts what it is offered."""


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A server with both apps on its nodes."""
    folder = tmp_path_factory.mktemp("offers")
    with running_server(folder / "data") as server, server.client() as api:
        first = [str(make_app(api, name, selector="site=a")["version"]) for name in APPS]
        batch = make_batch(api, labels={"site": "a"})
        command = ["sim", "--quiet", "--interval", "1"]
        command += ["--batch", batch["name"], "--token", batch["securityKey"], "--ca", server.ca]
        command += ["--activation", server.activation, "--mqtt", f"127.0.0.1:{server.mqtt_port}"]
        command += ["--apply-delay", "0"]
        options = [
            ("--defer", f"{CONSENT}:100%", "--defer-for", "3600"),
            ("--ignore-offers",),
            (),
        ]
        processes = []
        for name, more in zip(NODES, options, strict=True):
            own = ["--fingerprint", f"{name[0]}{{index}}", "--state-dir", str(folder / name)]
            processes.append(ForkedProcess([*command, *own, *more], os.devnull))
        try:
            for name, version in zip(APPS, first, strict=True):
                wait_for(partial(run_all, api, name, version), name, units=60)
            yield api
        finally:
            for process in processes:
                process.kill()
                process.wait(timeout=60)


def runs(api: httpx.Client, app: str, version: str) -> list[str]:
    """The nodes that report that version of the app."""
    return sorted(names_running(api, app, version))


def run_all(api: httpx.Client, app: str, version: str) -> bool:
    return runs(api, app, version) == NODES


def offers(api: httpx.Client, node: str, version: str) -> list[dict[str, Any]]:
    """The offers of the version that the node reports."""
    report = api.get(f"/v1/nodes/{node}/stats").json()["report"]
    return [one for one in report.get("offers") or () if one["version"] == version]


def has_fetched(api: httpx.Client, node: str, version: str) -> bool:
    return any(one["fetched"] for one in offers(api, node, version))


def begin(api: httpx.Client, name: str, **rules: Any) -> str:
    """A policy with these rules, and the next version of the app."""
    body = {"name": f"careful-{name}", "apps": {"names": [name]}, **rules}
    answer = api.post("/v1/rolloutpolicies", json=body)
    assert answer.status_code == 200, answer.text
    app = api.get(f"/v1/apps/{name}").json()
    app["services"][0]["image"] = "nginx:2"
    answer = api.put(f"/v1/apps/{name}", json=app)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["version"])


def message(api: httpx.Client, node: str) -> str:
    return str(api.get(f"/v1/nodes/{node}/explain").json()["message"])


def test_a_device_that_defers_is_waited_for_and_named_with_its_reason(api: httpx.Client) -> None:
    version = begin(api, CONSENT, consent={"latest": "72h"})
    # A node that is not asked gets the version, and so does one whose user accepts it.
    wait_for(lambda: runs(api, CONSENT, version) == ["b1", "c1"], "the others", units=60)

    def answers() -> list[dict[str, Any]]:
        return [one for one in offers(api, "a1", version) if "answer" in one]

    [offer] = wait_for(answers, "the answer", units=60)
    assert (offer["answer"], offer["reason"]) == ("deferred", "machine in use")
    words = f"version {version} is deferred by the device until {offer['until']}: machine in use"
    wait_for(lambda: words in message(api, "a1"), words, units=60)

    def waits() -> list[dict[str, Any]]:
        # What the reports of the others showed may not have been seen yet.
        found: list[dict[str, Any]] = api.get(f"/v1/rollouts/{CONSENT}").json()["waits"]
        return found if len(found) == 1 else []

    [wait] = wait_for(waits, "the others to be updated", units=60)
    assert (wait["node"], wait["reason"], wait["until"]) == ("a1", "consent", offer["until"])
    assert offers(api, "b1", version) == []


def test_a_version_is_fetched_before_its_window_and_not_applied(api: httpx.Client) -> None:
    opens = (datetime.now(UTC) + timedelta(hours=3)).replace(minute=0, second=0, microsecond=0)
    window = {"schedule": f"0 {opens.hour} * * *", "duration": "1h"}
    version = begin(api, WINDOW, windows=[window])
    for node in ("a1", "c1"):
        wait_for(partial(has_fetched, api, node, version), "the bodies", units=60)
    [offer] = offers(api, "c1", version)
    assert datetime.fromisoformat(offer["notBefore"]) == opens
    words = f"is outside its window until {opens:%H:%M} UTC"
    for node in NODES:
        assert words in message(api, node)
    assert runs(api, WINDOW, version) == []
    # An emergency does not wait for windows.
    assert api.post(f"/v1/rollouts/{WINDOW}/hurry").status_code == 200
    wait_for(lambda: run_all(api, WINDOW, version), "all of them", units=60)
    wait_for(lambda: offers(api, "c1", version) == [], "the offer to be withdrawn", units=60)
