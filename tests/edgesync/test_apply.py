from typing import Any

import pytest
import yaml

from tests.edgesync.conftest import Shell
from tests.rest.conftest import APP, CALLBACK, CONFIG, NODE, REGISTRY, SECRET

BATCH = {"name": "b1", "securityKey": "a token of the batch", "labels": {"role": "gateway"}}
RECORD = {"name": "r1", "batchName": "b1", "fingerprintValue": "sn1"}
SYSTEM = {"modules": [{"name": "baetyl-core", "image": "core:1"}], "address": "https://e:9005"}
FLEET: list[dict[str, Any]] = [
    {"kind": "App", **APP, "registries": [{"name": "hub"}]},
    {"kind": "Node", **NODE},
    {"kind": "Record", **RECORD},
    {"kind": "Batch", **BATCH, "callbackName": "crm"},
    {"kind": "Config", **CONFIG},
    {"kind": "Secret", **SECRET},
    {"kind": "Registry", **REGISTRY},
    {"kind": "Callback", **CALLBACK},
    {"kind": "SystemApps", **SYSTEM},
]
TITLES = [
    "callback/crm",
    "registry/hub",
    "secret/password",
    "config/site",
    "batch/b1",
    "record/b1/r1",
    "node/n1",
    "app/web",
    "systemapps",
]


def text(*documents: dict[str, Any]) -> str:
    return yaml.safe_dump_all(documents)


@pytest.fixture
async def fleet(shell: Shell) -> str:
    """Manifests of every kind, applied."""
    file = shell.file("fleet.yaml", text(*FLEET))
    created = [["created", title] for title in TITLES]
    created[-1][0] = "changed"
    assert await shell.lines("apply", "-f", file) == created
    return file


async def everything(shell: Shell) -> list[Any]:
    paths = (
        *("/v1/callback/crm", "/v1/registries/hub", "/v1/secrets/password", "/v1/configs/site"),
        *("/v1/register/b1", "/v1/register/b1/record/r1", "/v1/nodes/n1", "/v1/apps/web"),
        "/v1/sysapps",
    )
    return [await shell.world.client.call("GET", path) for path in paths]


async def test_what_is_there_already_is_not_changed(shell: Shell, fleet: str) -> None:
    before = await everything(shell)
    shell.world.clock.advance(60)
    again = await shell.lines("apply", "-f", fleet)
    assert again == [["unchanged", title] for title in TITLES]
    assert await everything(shell) == before


async def test_an_export_can_be_applied_and_changes_nothing_and_shows_no_secret(
    shell: Shell, fleet: str
) -> None:
    before = await everything(shell)
    exported = await shell.run("export")
    for secret in ("öpen", "password of the hub", "a token of the batch", "Bearer of the crm"):
        assert secret not in exported.output
    shell.world.clock.advance(60)
    again = await shell.lines("apply", "-f", "-", stdin=exported.stdout)
    assert again == [["unchanged", title] for title in TITLES]
    assert await everything(shell) == before
    as_json = await shell.run("export", "-o", "json")
    assert await shell.lines("apply", "-f", "-", stdin=as_json.stdout) == again
    # What `get` shows whole can be applied, too.
    shown = await shell.run("get", "secrets", "-o", "yaml")
    assert (await shell.lines("apply", "-f", "-", stdin=shown.stdout))[0][0] == "unchanged"
    assert await everything(shell) == before
    clear = await shell.run("export", "secrets", "--show-secrets")
    assert "öpen" in clear.stdout


async def test_an_export_of_what_is_empty_can_be_changed_and_applied(shell: Shell) -> None:
    for kind, path in (("Config", "configs"), ("App", "apps"), ("Secret", "secrets")):
        empty: dict[str, Any] = (
            {"services": []} if kind == "App" else {"data": [] if kind == "Config" else {}}
        )
        await shell.world.client.call("POST", f"/v1/{path}", {"name": "empty", **empty})
    exported = await shell.run("export", "configs", "apps", "secrets")
    changed = [
        {**document, "description": "changed"} for document in yaml.safe_load_all(exported.stdout)
    ]
    assert len(changed) == 3
    lines = await shell.lines("apply", "-f", "-", stdin=text(*changed))
    assert {line[0] for line in lines} == {"changed"}


async def test_stars_are_no_value_of_a_new_thing(shell: Shell, fleet: str) -> None:
    exported = (await shell.run("export")).stdout
    refused = await shell.run("apply", "-f", "-", "-n", "other", stdin=exported, code=1)
    for field in ("data.password", "securityKey", "password", "header."):
        assert f"{field}" in refused.stderr
    assert "put it in" in refused.stderr
    client = shell.world.client.within("other")
    assert (await client.call("GET", "/v1/secrets"))["total"] == 0
    assert (await client.call("GET", "/v1/nodes"))["total"] == 1


async def test_only_what_differs_is_changed(shell: Shell, fleet: str) -> None:
    changed = [dict(document) for document in FLEET]
    changed[5]["data"] = {"password": "********", "more": "x"}
    changed[6]["password"] = "another one"
    changed[1]["labels"] = {"role": "other"}
    lines = await shell.lines("apply", "-f", shell.file("b.yaml", text(*changed)))
    differing = {title for verb, title in lines if verb == "changed"}
    assert differing == {"secret/password", "registry/hub", "node/n1"}
    secret = await shell.world.client.call("GET", "/v1/secrets/password")
    assert secret["data"] == {"password": "öpen", "more": "x"}


async def test_after_an_error_the_rest_is_applied(shell: Shell) -> None:
    app = {"kind": "App", **APP}
    config = {"kind": "Config", "name": "-", "data": []}
    file = shell.file("f.yaml", text(config, {"kind": "Node", **NODE}, app))
    result = await shell.run("apply", "-f", file, code=1)
    assert [line.split() for line in result.stdout.splitlines()] == [["created", "node/n1"]]
    assert "config/-: " in result.stderr
    assert "app/web: " in result.stderr
    assert "2 of 3 failed" in result.stderr


async def test_nothing_is_sent_of_files_of_which_one_is_wrong(shell: Shell) -> None:
    file = shell.file("f.yaml", "kind: Node\nname: n1\n---\nkind: App\nname: web\nselektor: a\n")
    refused = await shell.run("apply", "-f", file, code=1)
    assert "f.yaml, document 2, line 6: selektor: unknown field" in refused.stderr
    assert (await shell.world.client.call("GET", "/v1/nodes"))["total"] == 0
    await shell.run("apply", "-f", str(shell.folder / "nothing.yaml"), code=1)
    await shell.run("apply", "-f", "-", stdin="# nothing\n", code=1)


async def test_what_the_server_refuses_is_found_in_the_file(shell: Shell) -> None:
    bad = "kind: App\nname: web\nservices:\n- name: a\n  image: x\n- name: a\n  image: y\n"
    refused = await shell.run("apply", "-f", shell.file("f.yaml", bad), code=1)
    assert "f.yaml, document 1, line 6: app/web: " in refused.stderr


async def test_pruning_takes_what_the_owner_no_longer_describes_and_nothing_else(
    shell: Shell,
) -> None:
    def node(name: str) -> str:
        return f"kind: Node\nname: {name}\n---\n"

    await shell.run("apply", "-f", "-", "--owner", "a", stdin=node("a1") + node("a2"))
    await shell.run("apply", "-f", "-", "--owner", "b", stdin=node("b1"))
    await shell.run("apply", "-f", "-", stdin=node("c1"))
    only = node("a1")
    await shell.run("apply", "-f", "-", "--prune", stdin=only, code=2)
    asked = await shell.run("apply", "-f", "-", "--owner", "a", "--prune", stdin=only, code=2)
    assert "--yes" in asked.stderr
    assert "node/a2" in asked.stderr
    done = await shell.lines("apply", "-f", "-", "--owner", "a", "--prune", "--yes", stdin=only)
    assert done == [["unchanged", "node/a1"], ["deleted", "node/a2", "access", "revoked"]]
    names = await shell.lines("get", "nodes", "-o", "name")
    assert sorted(names) == [["node/a1"], ["node/b1"], ["node/c1"]]
    # A set that failed in part is not what should be there.
    bad = only + "kind: Config\nname: '-'\n"
    await shell.run("apply", "-f", "-", "--owner", "b", "--prune", "--yes", stdin=bad, code=1)
    assert len(await shell.lines("get", "nodes", "-o", "name")) == 3


async def test_a_document_may_name_its_namespace(shell: Shell) -> None:
    await shell.run("apply", "-f", "-", stdin="kind: Node\nname: n\nnamespace: shop\n")
    assert await shell.lines("get", "nodes", "-n", "shop", "-o", "name") == [["node/n"]]
    assert await shell.lines("get", "nodes", "-o", "name") == []
    refused = await shell.run(
        *("apply", "-n", "x", "-f", "-"), stdin="kind: Node\nname: n\nnamespace: shop\n", code=1
    )
    assert "line 3" in refused.stderr


async def test_what_manifests_describe_is_deleted_in_the_order_in_which_it_can_go(
    shell: Shell, fleet: str
) -> None:
    lines = await shell.lines("delete", "-f", fleet)
    assert [words[1] for words in lines] == list(reversed(TITLES[:-1]))
    refused = await shell.run("delete", "-f", fleet, code=1)
    assert "app/web" in refused.stderr
    again = await shell.lines("delete", "-f", fleet, "--ignore-not-found")
    assert {words[0] for words in again} == {"absent"}


async def test_why_is_in_the_audit_log(shell: Shell) -> None:
    await shell.run("apply", "-f", "-", "--reason", "für Tests", stdin="kind: Node\nname: n\n")
    (entry,) = (await shell.world.client.call("GET", "/v1/audit?action=node.create"))["items"]
    assert entry["reason"] == "für Tests"
