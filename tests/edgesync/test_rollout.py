"""`edgesync rollout`: how rollouts are shown and steered."""

import json
from typing import Any

import pytest
import yaml
from msgspec.structs import replace

from cloud.core.rollout import RolloutState
from cloud.store.transaction import Transaction
from tests.edgesync.conftest import Shell
from tests.rest.conftest import REGISTRY, describe

POLICY = {
    "name": "careful",
    "apps": {"names": ["web"]},
    "stages": [
        {"name": "canary", "selector": "ring=canary", "soak": "1h"},
        {"name": "all", "approval": "required"},
    ],
}


@pytest.fixture
async def governed(shell: Shell) -> Shell:
    """An app under a policy, with a new version that no node has yet."""
    client = shell.world.client
    await describe(client)
    await client.call("POST", "/v1/rolloutpolicies", POLICY)
    app = await client.call("GET", "/v1/apps/web")
    services = [{**app["services"][0], "image": "nginx:2"}]
    await client.call("PATCH", "/v1/apps/web", {"services": services})
    return shell


async def rollout(shell: Shell) -> Any:
    return await shell.world.client.call("GET", "/v1/rollouts/web")


async def becomes(shell: Shell, state: RolloutState) -> None:
    name = (await rollout(shell))["name"]

    def work(tx: Transaction) -> None:
        before = tx.rollout("default", name)
        assert before is not None
        tx.put_rollout(replace(before, state=state, cause="1 node failed"))

    await shell.world.store.write(work)


async def test_an_app_with_an_open_rollout_is_undone_to_a_named_revision_only(
    governed: Shell,
) -> None:
    client, first = governed.world.client, await rollout(governed)
    path = "/v1/apps/web/undo"
    message = await client.refused("POST", path, {}, status=409, code="RolloutConflict")
    assert f"/v1/rollouts/{first['name']}/rollback" in message
    assert (await rollout(governed))["name"] == first["name"]
    await client.call("POST", path, {"revision": 1})
    assert (await rollout(governed))["name"] != first["name"]


async def test_status_shows_stages_and_who_is_waited_for(governed: Shell) -> None:
    found = await rollout(governed)
    text = (await governed.run("rollout", "status", "web")).stdout
    head, *rest = text.splitlines()
    assert head == (
        f"{found['name']}, version {found['base']} to {found['target']} by policy careful,"
        " running, stage canary (1 of 2)"
    )
    rows = [line.split() for line in rest]
    assert ["canary", "0", "0", "0", "0", "0", "0", "0", "-"] in rows
    assert ["all", "1", "1", "0", "0", "0", "0", "0", "required"] in rows
    assert (await governed.run("rollout", "status", f"app/{'web'}")).stdout == text
    shown = await governed.run("rollout", "status", found["name"], "-o", "json")
    assert json.loads(shown.stdout)["name"] == found["name"]


async def test_a_dry_run_names_stages_and_first_nodes(governed: Shell) -> None:
    app = (await governed.run("get", "app", "web", "-o", "yaml")).stdout
    file = governed.file("web.yaml", app.replace("nginx:2", "nginx:3"))
    words = "    rollout of web by policy careful: stages canary (0), all (1); first nodes: n1"
    shown = await governed.run("apply", "-f", file, "--dry-run")
    assert words in shown.stdout.splitlines()
    assert words in (await governed.run("diff", "-f", file, code=1)).stdout.splitlines()
    plan = (await governed.run("diff", "-f", file, "-o", "json", code=1)).stdout
    [answer] = json.loads(plan)
    assert answer["message"] == (
        "Would update app web: web goes out by policy careful in stages canary (0), all (1)."
    )
    assert len(await governed.lines("rollout", "history", "web")) == 2


async def test_a_rollout_is_paused_resumed_and_ended(governed: Shell) -> None:
    name = (await rollout(governed))["name"]
    done = await governed.lines("rollout", "pause", "web", "--reason", "wait for the shop")
    assert done == [[f"rollout/{name}", "is", "paused"]]
    assert (await rollout(governed))["cause"] == "wait for the shop"
    await governed.run("rollout", "resume", name)
    refused = await governed.run("rollout", "approve", "web", code=1)
    assert "approve" in refused.stderr
    await governed.run("rollout", "promote", "web")
    assert (await rollout(governed))["stage"] == "all"
    await governed.run("rollout", "hurry", "web")
    assert (await rollout(governed))["emergency"]
    await governed.run("rollout", "abort", "web")
    assert (await rollout(governed))["state"] == "aborted"
    await governed.run("rollout", "status", "web", code=1)


@pytest.mark.parametrize("verb", [["rollout", "undo", "web"], ["undo", "app", "web"]])
async def test_undo_takes_an_open_rollout_back(governed: Shell, verb: list[str]) -> None:
    name = (await rollout(governed))["name"]
    planned = (await governed.run(*verb, "--dry-run")).stdout
    assert planned == f"rollout/{name} would be rolled back, on 0 nodes\n"
    assert (await rollout(governed))["state"] == "running"
    done = await governed.lines(*verb, "--reason", "does not start")
    assert done == [[f"rollout/{name}", "is", "rolling", "back"]]
    found = await rollout(governed)
    assert (found["state"], found["cause"]) == ("rollingBack", "does not start")


async def test_undo_to_a_revision_replaces_an_open_rollout(governed: Shell) -> None:
    before = (await rollout(governed))["name"]
    done = await governed.lines("undo", "app", "web", "--to", "1")
    assert done[0][:2] == ["undone", "app/web"]
    assert (await rollout(governed))["name"] != before


async def test_undo_takes_a_rollout_back_that_has_not_begun(governed: Shell) -> None:
    await becomes(governed, RolloutState.SCHEDULED)
    done = await governed.lines("undo", "app", "web")
    assert done[0][1:] == ["is", "rolling", "back"]


async def test_undo_reverts_the_app_where_no_rollout_is_open(governed: Shell) -> None:
    await becomes(governed, RolloutState.DONE)
    before = await governed.world.client.call("GET", "/v1/apps/web")
    done = await governed.lines("rollout", "undo", "app", "web")
    assert done[0][:2] == ["undone", "app/web"]
    after = await governed.world.client.call("GET", "/v1/apps/web")
    assert after["services"][0]["image"] != before["services"][0]["image"]


@pytest.mark.parametrize(
    ("state", "code"),
    [
        (RolloutState.DONE, 0),
        (RolloutState.FAILED, 1),
        (RolloutState.ROLLED_BACK, 1),
        (RolloutState.ABORTED, 1),
    ],
)
async def test_watching_ends_with_the_rollout(
    governed: Shell, state: RolloutState, code: int
) -> None:
    await becomes(governed, state)
    done = await governed.run("rollout", "status", "web", "--watch", code=code)
    assert "version" in done.stdout


async def test_watching_gives_up_when_its_time_is_over(governed: Shell) -> None:
    refused = await governed.run("rollout", "status", "web", "--watch", "--timeout", "0", code=1)
    assert "has not ended" in refused.stderr


async def test_history_lists_the_rollouts_of_an_app(governed: Shell) -> None:
    found = await rollout(governed)
    titles, newest = await governed.lines("rollout", "history", "web")
    assert titles[:3] == ["ROLLOUT", "FROM", "TO"]
    assert newest[:5] == [found["name"], found["base"], found["target"], "careful", "running"]
    client = governed.world.client
    [item] = (await client.call("GET", "/v1/rollouts?open=true"))["items"]
    assert item["name"] == found["name"]
    await becomes(governed, RolloutState.DONE)
    assert (await client.call("GET", "/v1/rollouts?open=true"))["items"] == []
    revisions = await governed.lines("rollout", "history", "app", "web")
    assert revisions[0][0] == "REVISION"


async def test_verbs_are_as_before_for_apps_without_a_policy(shell: Shell) -> None:
    await describe(shell.world.client)
    revisions = await shell.lines("rollout", "history", "web")
    assert revisions[0][0] == "REVISION"
    refused = await shell.run("rollout", "status", "web", "--timeout", "0", code=1)
    assert "0 of 1 nodes run version" in refused.stderr
    await shell.run("rollout", "pause", "web", code=1)
    await shell.run("rollout", "status", "config/site", code=2)


async def test_apply_schedules_rollouts_and_makes_them_emergencies(
    governed: Shell,
) -> None:
    app = (await governed.run("get", "app", "web", "-o", "yaml")).stdout
    file = governed.file("web.yaml", app.replace("nginx:2", "nginx:3"))
    start = "2999-01-01T02:00:00Z"
    refused = await governed.run("apply", "-f", file, "--rollout-start", "soon", code=1)
    assert "rolloutStart" in refused.stderr
    await governed.run("apply", "-f", file, "--rollout-start", start)
    found = await rollout(governed)
    assert (found["state"], found["startTime"], found["emergency"]) == ("scheduled", start, False)
    # A registry, too: its password is replaced by a call of its own.
    more = {"kind": "Registry", **REGISTRY, "password": "another"}
    file = governed.file(
        "all.yaml", app.replace("nginx:2", "nginx:4") + "---\n" + yaml.safe_dump(more)
    )
    await governed.run("apply", "-f", file, "--rollout-now")
    found = await rollout(governed)
    assert (found["state"], found["startTime"], found["emergency"]) == ("running", None, True)
