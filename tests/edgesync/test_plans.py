import json

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.edgesync.conftest import Shell
from tests.edgesync.test_apply import FLEET, text
from tests.rest.conftest import APP, CONFIG, NODE, describe
from tests.serving import serving


@pytest.fixture
async def described(shell: Shell) -> Shell:
    await describe(shell.world.client)
    return shell


def manifests(shell: Shell, *, port: int = 80, selector: str = "role=gateway") -> str:
    data = [{"key": "nginx.conf", "value": {"type": "kv", "value": f"a\nlisten {port};\n"}}]
    return shell.file(
        "f.yaml",
        text(
            {"kind": "App", **APP, "selector": selector},
            {"kind": "Config", **CONFIG, "data": data if port != 80 else CONFIG["data"]},
            {"kind": "Node", **NODE},
        ),
    )


async def test_what_is_the_same_does_not_differ(described: Shell) -> None:
    result = await described.run("diff", "-f", manifests(described))
    assert result.stdout.split("\n")[0] == "3 unchanged: no nodes affected."


async def test_a_plan_has_the_changes_and_affected_nodes_and_changes_nothing(
    described: Shell,
) -> None:
    before = await described.world.client.call("GET", "/v1/apps/web")
    file = manifests(described, port=81, selector="role=shop")
    for words in (["diff", "-f", file], ["apply", "--dry-run", "-f", file]):
        result = await described.run(*words, code=1 if words[0] == "diff" else 0)
        output = " ".join(result.stdout.split())
        assert "changed config/site" in output
        assert "-listen 80; +a +listen 81;" in output
        assert "selector: role=gateway -> role=shop" in output
        assert (
            "2 changed, 1 unchanged: 1 of 1 nodes affected, 1 of them offline now, apps web"
            in output
        )
        assert "Nothing was changed." in output
        assert ("unchanged node/n1" in output) is (words[0] == "apply")
    assert await described.world.client.call("GET", "/v1/apps/web") == before
    shown = await described.run("diff", "-f", file, "-o", "json", code=1)
    assert [one["dryRun"] for one in json.loads(shown.stdout)] == [True] * 3


async def test_what_cannot_be_compared_is_neither_the_same_nor_different(described: Shell) -> None:
    bad = described.file("bad.yaml", "kind: Config\nname: '-'\n")
    assert "config/-" in (await described.run("diff", "-f", bad, code=2)).stderr
    await described.run("apply", "--dry-run", "-f", bad, code=1)
    await described.run("diff", "-f", str(described.folder / "none.yaml"), code=2)
    described.env["EDGESYNC_URL"] = "http://127.0.0.1:9"
    await described.run("diff", "-f", bad, code=2)


async def test_a_plan_names_the_documents_that_others_wait_for(shell: Shell) -> None:
    result = await shell.run("apply", "--dry-run", "-f", shell.file("f.yaml", text(*FLEET)))
    output = result.stdout
    assert (
        "created    app/web  once there is config/site and secret/password and registry" in output
    )
    assert "created    record/b1/r1  once there is batch/b1" in output
    assert "created    batch/b1  once there is callback/crm" in output
    assert "are not known yet" in output
    assert (await shell.world.client.call("GET", "/v1/configs"))["total"] == 0
    alone = shell.file("app.yaml", text({"kind": "App", **APP}))
    assert "app/web" in (await shell.run("diff", "-f", alone, code=2)).stderr


async def test_no_secret_is_in_what_would_change(described: Shell) -> None:
    secret = described.file("s.yaml", "kind: Secret\nname: password\ndata: {password: sesame}\n")
    output = (await described.run("diff", "-f", secret, code=1)).output
    assert "changed    secret/password" in output
    assert "öpen" not in output
    assert "sesame" not in output


async def test_deleting_undoing_and_pruning_are_tried_out_too(described: Shell) -> None:
    gone = await described.run("delete", "app/web", "node/n1", "--dry-run")
    assert "deleted    app/web" in gone.stdout
    assert "1 of 1 nodes affected" in gone.stdout
    all_of_it = manifests(described)
    waiting = await described.run("delete", "-f", all_of_it, "--dry-run")
    assert "deleted    config/site  once it is no longer in use" in waiting.stdout
    await described.run("delete", "config/site", "--dry-run", code=1)
    await described.run("label", "app", "web", "edgesync.io/owner=a")
    node = described.file("n.yaml", text({"kind": "Node", **NODE}))
    pruned = await described.run("apply", "-f", node, "--owner", "a", "--prune", "--dry-run")
    assert "deleted    app/web" in pruned.stdout
    undone = await described.run("undo", "app", "web", "--dry-run")
    assert "edgesync.io/owner" in undone.stdout
    labels = (await described.world.client.call("GET", "/v1/apps/web"))["labels"]
    assert labels == {"team": "a", "edgesync.io/owner": "a"}


async def test_a_guard_is_a_manifest_and_asks_until_it_is_confirmed(described: Shell) -> None:
    guard = described.file("guard.yaml", "kind: Guard\nmaxShare: 0.5\n")
    assert await described.lines("apply", "-f", guard) == [["changed", "guard"]]
    assert (await described.lines("get", "guards"))[1] == ["50%", "0"]
    assert "kind: Guard\nmaxShare: 0.5\n" in (await described.run("export", "guard")).stdout
    file = manifests(described, selector="role=shop")
    planned = await described.run("diff", "-f", file, code=1)
    assert "--confirm" in planned.stdout
    refused = await described.run("apply", "-f", file, code=1)
    assert "--dry-run" in refused.stderr
    assert "--confirm" in refused.stderr
    await described.run("apply", "-f", file, "--confirm")
    back = ["undo", "app", "web"]
    await described.run(*back, code=1)
    await described.run(*back, "--confirm")
    await described.run("delete", "app", "web", code=1)
    await described.run("delete", "app", "web", "--confirm")


async def test_a_server_that_knows_no_dry_run_is_sent_nothing(shell: Shell) -> None:
    sent: list[str] = []

    async def any_call(request: Request) -> Response:
        sent.append(request.method)
        return JSONResponse({"code": "ResourceNotFound", "message": "no"}, 404)

    file = shell.file("n.yaml", text({"kind": "Node", **NODE}))
    methods = ["GET", "POST", "PUT", "DELETE"]
    app = Starlette(routes=[Route("/{path:path}", any_call, methods=methods)])
    async with serving(app) as url:
        shell.env["EDGESYNC_URL"] = url
        for words in (["apply", "-f", file], ["delete", "node", "n1"], ["undo", "app", "a"]):
            refused = await shell.run(*words, "--dry-run", code=1)
            assert "too old" in refused.stderr
    assert set(sent) == {"GET"}
