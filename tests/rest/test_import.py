"""`edgesync import baetyl`, from a server that answers as baetyl-cloud does, into a real one."""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cloud.core.node import NodeSpec
from cloud.core.registry import Registry
from cloud.operations.nodes import create_node
from edgesync.__main__ import main
from tests.rest.baetyl_cloud import BaetylCloud, furnished
from tests.rest.conftest import TOKEN, World
from tests.serving import serving

KINDS = ("secrets", "registries", "configs", "batches", "records", "nodes", "apps")


async def run(world: World, cloud: BaetylCloud, *words: str) -> Result:
    env = {"EDGESYNC_URL": world.url, "EDGESYNC_TOKEN": TOKEN}
    async with serving(cloud.app) as url:
        command = ["import", "baetyl", "--url", url, *words]
        return await asyncio.to_thread(CliRunner(env=env).invoke, main, command)


def table(result: Result) -> dict[str, list[int]]:
    """Of each kind: created, updated, same, not taken over."""
    pattern = rf"^({'|'.join(KINDS)}) +(\d+) +(\d+) +(\d+) +(\d+)$"
    found = re.findall(pattern, result.stdout, flags=re.M)
    return {kind: [int(number) for number in numbers] for kind, *numbers in found}


async def everything(world: World) -> dict[str, Any]:
    """All that the server shows, but for what passes with time."""
    shown: dict[str, Any] = {}
    for kind in ("secrets", "registries", "configs", "register", "nodes", "apps"):
        for item in (await world.client.call("GET", f"/v1/{kind}"))["items"]:
            path = f"/v1/{kind}/{item['name']}"
            shown[path] = await world.client.call("GET", path)
    return shown


@pytest.mark.parametrize("is_early", [True, False], ids=["early", "late"])
async def test_all_that_can_be_is_taken_over_and_a_second_time_changes_nothing(
    world: World, *, is_early: bool
) -> None:
    cloud = furnished(is_early=is_early)
    result = await run(world, cloud)
    assert result.exit_code == 0, result.output
    register = {"batches": [1, 0, 0, 0], "records": [2, 0, 0, 0]}
    none = {"batches": [0, 0, 0, 0], "records": [0, 0, 0, 0]}
    assert table(result) == {
        "secrets": [1, 0, 0, 0],
        "registries": [1, 0, 0, 0],
        "configs": [2, 0, 0, 0],
        **(register if is_early else none),
        "nodes": [1, 0, 0, 0],
        "apps": [2, 0, 0, 0],
    }
    before = await everything(world)
    world.clock.advance(60)
    again = await run(world, cloud)
    assert again.exit_code == 0, again.output
    assert [sum(numbers[:2]) for numbers in table(again).values()] == [0] * len(KINDS)
    assert await everything(world) == before


async def test_what_is_taken_over_means_what_it_meant(world: World) -> None:
    result = await run(world, furnished(is_early=True))
    shown = await everything(world)
    assert shown["/v1/secrets/password"]["data"] == {"password": "open"}
    assert shown["/v1/configs/conf"]["data"][0]["value"]["value"] == "listener 1883\n"
    assert shown["/v1/configs/code"]["data"][0]["value"]["object"] == "fn.zip"
    node = shown["/v1/nodes/gate-7"]
    assert node["labels"] == {"role": "gateway", "baetyl-node-name": "gate-7"}
    app = shown["/v1/apps/broker"]
    assert app["selector"] == "role=gateway"
    assert [registry["name"] for registry in app["registries"]] == ["hub"]
    (service,) = app["services"]
    assert (service["image"], service["replica"]) == ("eclipse-mosquitto:2", 2)
    assert service["hostNetwork"] is True
    assert [mount["name"] for mount in service["volumeMounts"]] == ["conf", "users"]
    batch = shown["/v1/register/line-7"]
    assert (batch["enableWhitelist"], batch["quotaNum"]) == (0, 10)
    assert batch["securityKey"] == "a token of the batch"
    record = await world.client.call("GET", "/v1/register/line-7/record/sn-2")
    assert (record["active"], record["nodeName"]) == (0, "gate-9")
    assert "1 records were active there" in result.output
    where = "/v1/nodes/gate-7"
    assert (await world.client.call("GET", f"{where}/mode")) == {"mode": "local"}
    assert (await world.client.call("GET", f"{where}/core/configs"))["frequency"] == 60
    properties = await world.client.call("GET", f"{where}/properties")
    assert properties["state"] == {"report": {}, "desire": {"a": "1"}}

    def passwords(tx: Any) -> list[str]:
        return [registry.spec.password for registry in tx.resources(Registry, "default")]

    assert await world.store.read(passwords) == ["sesame"]


async def test_an_app_of_the_later_edition_keeps_what_its_agents_read(world: World) -> None:
    cloud = furnished(is_early=False)
    probe = {"tcpSocket": {"port": 1883}, "periodSeconds": 5}
    cloud.add(
        "apps",
        "counter",
        type="container",
        mode="native",
        workload="job",
        replica=1,
        jobConfig={"completions": 3, "restartPolicy": "OnFailure"},
        services=[
            {
                "name": "counter",
                "programConfig": "conf",
                "type": "job",
                "replica": 1,
                "livenessProbe": probe,
                "imagePullPolicy": "",
                "volumeMounts": [
                    {"name": "baetyl-program-config-x7", "mountPath": "/var/lib/baetyl/bin"},
                    {"name": "tmp", "mountPath": "/tmp", "autoClean": True},  # noqa: S108
                ],
            }
        ],
        initServices=[{"name": "prepare", "programConfig": "code"}],
        volumes=[
            {"name": "baetyl-program-config-x7", "config": {"name": "conf", "version": "1"}},
            {"name": "tmp", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
        ],
    )
    cloud.add(
        "apps",
        "old",
        services=[{"name": "a", "image": "a", "type": "job", "jobConfig": {"backoffLimit": 2}}],
    )
    result = await run(world, cloud)
    assert result.exit_code == 0, result.output
    assert "without these fields" not in result.output
    shown = await world.client.call("GET", "/v1/apps/counter")
    assert (shown["mode"], shown["workload"], shown["replica"]) == ("native", "job", 1)
    assert shown["jobConfig"] == {"completions": 3, "restartPolicy": "OnFailure"}
    [service] = shown["services"]
    assert (service["programConfig"], service["livenessProbe"]["periodSeconds"]) == ("conf", 5)
    assert [mount["name"] for mount in service["volumeMounts"]] == [
        *("tmp", "baetyl-program-config-counter")
    ]
    assert shown["initServices"][0]["programConfig"] == "code"
    assert shown["volumes"][0]["emptyDir"] == {"medium": "Memory", "sizeLimit": "1Mi"}
    old = await world.client.call("GET", "/v1/apps/old")
    assert (old["workload"], old["jobConfig"]["backoffLimit"]) == ("job", 2)
    plain = await world.client.call("GET", "/v1/apps/broker")
    assert (plain["replica"], plain["hostNetwork"]) == (2, True)
    assert {"mode", "workload", "jobConfig", "initServices"}.isdisjoint(plain)


async def test_what_cannot_be_taken_over_is_named_and_the_rest_goes_on(world: World) -> None:
    cloud = furnished(is_early=False)
    del cloud.things["registry-secrets"]
    cloud.add("secrets", "masked")
    cloud.add("nodes", "camera", labels={"-": "no label"}, accelerator="nvidia")
    cloud.add("nodes", "gate-9", labels={}, accelerator="nvidia", sysApps=["baetyl-rule"])
    cloud.add("apps", "chart", type="helm")
    cloud.add("apps", "later", cronStatus=1, selector="a=b")
    cloud.add("apps", "sealed", volumes=[{"name": "c", "certificate": {"name": "c"}}])
    result = await run(world, cloud)
    assert result.exit_code == 1, result.output
    _, _, rest = result.output.partition("Not taken over:\n")
    expected = {line.split(":")[0].strip(): line for line in rest.splitlines()}
    assert "password is not shown" in expected["registries hub"]
    assert "not shown" in expected["secrets masked"]
    assert "labels" in expected["nodes camera"]
    assert "(hub) is not found" in expected["apps broker"]
    assert "helm" in expected["apps chart"]
    assert "cronTime" in expected["apps later"]
    assert "certificate" in expected["apps sealed"]
    assert set(expected) == {
        "registries hub",
        "secrets masked",
        "nodes camera",
        *(f"apps {name}" for name in ("broker", "chart", "later", "sealed")),
    }
    assert "nodes gate-9: accelerator, sysApps" in result.output
    assert table(result)["apps"] == [1, 0, 0, 4]
    assert table(result)["nodes"] == [2, 0, 0, 1]


async def test_a_dry_run_writes_nothing(world: World) -> None:
    create = lambda tx: create_node(tx, "default", "gate-7", NodeSpec(), now=world.clock.now)  # noqa: E731
    await world.store.write(create)
    before = await everything(world)
    result = await run(world, furnished(is_early=True), "--dry-run")
    assert result.exit_code == 0, result.output
    assert "Nothing was written" in result.output
    assert table(result)["nodes"] == [0, 1, 0, 0]
    assert table(result)["apps"] == [2, 0, 0, 0]
    assert await everything(world) == before


def crooked() -> BaetylCloud:
    """One with much that cannot be taken over."""
    cloud = furnished(is_early=True)
    del cloud.things["registry-secrets"]
    cloud.add("nodes", "camera", labels={"-": "no label"})
    cloud.add("nodes", "slow", labels={})
    cloud.add("nodes/slow/core", "configs", frequency=301)
    cloud.add("nodes", "odd", labels={})
    cloud.add("nodes/odd", "properties", state={"desire": {"k" * 200: "1"}})
    cloud.add("configs", "odd", data=[{"key": "/etc", "value": {"type": "kv", "value": "x"}}])
    service = {"name": "w", "image": "w"}
    cloud.add("apps", "selects", selector="a=,=", services=[service])
    mounted = {name: [{"name": "c", "config": {"name": name}}] for name in ("-", "odd")}
    cloud.add("apps", "mounts", services=[service], volumes=mounted["-"])
    cloud.add("apps", "needs", services=[service], registries=[{"name": "hub"}])
    cloud.add("apps", "uses", services=[service], volumes=mounted["odd"])
    cobol = {"name": "fn", "functionConfig": {"name": "code", "runtime": "cobol"}}
    cloud.add("apps", "cobol", type="function", services=[cobol])
    cloud.add("apps", "blind", services=[{**service, "livenessProbe": {"periodSeconds": 5}}])
    cloud.things["register"]["line-7"]["quotaNum"] = 3
    for name, fingerprint in (("a", "sn-2"), ("b", "not/one"), ("c", "sn-3"), ("d", "sn-4")):
        cloud.add("register/line-7/record", name, fingerprintValue=fingerprint, nodeName=name)
    return cloud


def not_taken(result: Result) -> list[str]:
    _, _, rest = result.output.partition("Not taken over:\n")
    return [line.strip() for line in rest.partition("\n\n")[0].splitlines()]


@pytest.mark.parametrize("is_again", [False, True], ids=["first", "again"])
async def test_a_dry_run_refuses_what_the_import_refuses(world: World, *, is_again: bool) -> None:
    if is_again:
        await run(world, crooked())
    before = await everything(world)
    tried = await run(world, crooked(), "--dry-run")
    assert await everything(world) == before
    result = await run(world, crooked())
    assert (tried.exit_code, result.exit_code) == (1, 1)
    assert not_taken(tried) == not_taken(result)
    names = {line.split(":")[0] for line in not_taken(tried)}
    assert names >= {
        "registries hub",
        "configs odd",
        "nodes camera",
        "nodes slow (settings)",
        "nodes odd (settings)",
        "records line-7/a",
        "records line-7/b",
        "records line-7/d",
        *(f"apps {name}" for name in ("selects", "mounts", "needs", "uses", "cobol", "blind")),
    }
    assert table(tried) == table(result)


@pytest.mark.parametrize("words", [("--dry-run",), ()], ids=["dry run", "import"])
async def test_apps_that_a_move_would_stop_are_named(world: World, words: tuple[str, ...]) -> None:
    cloud = furnished(is_early=False)
    cloud.add("apps", "chart", type="helm", selector="role=gateway")
    cloud.add("apps", "elsewhere", selector="role=camera", services=[])
    running = [{"name": name, "version": "1"} for name in ("broker", "chart", "elsewhere", "own")]
    running.append({"name": "baetyl-core-x1", "version": "1"})
    gate = cloud.things["nodes"]["gate-7"]
    gate["desire"] = {"apps": running[:2]}
    gate["report"] = {"apps": running[1:]}
    put = await world.client.call(
        "POST", "/v1/apps", {"name": "own", "selector": "role=gateway", "services": []}
    )
    assert put["version"]
    result = await run(world, cloud, *words)
    _, _, rest = result.output.partition("stopped by the move of their nodes:\n")
    assert [line.strip() for line in rest.splitlines()] == [
        "apps chart: on gate-7: it is for no node here",
        "apps elsewhere: on gate-7: its selector is 'role=camera'",
    ]


async def test_one_thing_that_the_server_fails_at_does_not_end_the_rest(world: World) -> None:
    cloud = furnished(is_early=False)
    cloud.failing = {"/v1/configs/conf"}
    cloud.busy = 2
    result = await run(world, cloud)
    assert result.exit_code == 1
    assert "configs conf: 502: bad gateway" in result.output
    assert table(result)["configs"] == [1, 0, 0, 1]
    assert table(result)["nodes"] == [1, 0, 0, 0]


@pytest.mark.slow
async def test_many_pages_are_read_to_the_end(world: World) -> None:
    cloud = BaetylCloud()
    for number in range(401):
        cloud.add("nodes", f"n{number}", labels={})
    result = await run(world, cloud, "--dry-run")
    assert table(result)["nodes"] == [401, 0, 0, 0], result.output
    assert cloud.asked.count("/v1/nodes") == 3


async def test_a_namespace_and_a_token_are_sent_where_they_belong(
    world: World, tmp_path: Path
) -> None:
    cloud = furnished(is_early=False)
    cloud.token = "for baetyl"
    file = tmp_path / "token"
    file.write_text("for baetyl\n")
    refused = await run(world, cloud)
    assert (refused.exit_code, "access is denied" in refused.output) == (1, True)
    result = await run(world, cloud, "--token-file", str(file), "--to-namespace", "shop")
    assert result.exit_code == 0, result.output
    assert (await world.client.call("GET", "/v1/nodes"))["total"] == 0
    assert (await world.client.within("shop").call("GET", "/v1/nodes"))["total"] == 1


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--url", "baetyl"], "--url: baetyl is not an http"),
        (["--url", "http://127.0.0.1:1"], "127.0.0.1:1"),
        (["--url", "http://127.0.0.1:1", "--to-url", "http://sync.example.com"], "--to-url"),
        (["--url", "http://10.0.0.5:9004", "--token-file", __file__], "https only"),
    ],
)
def test_an_import_that_cannot_begin_has_the_reason(words: list[str], expected: str) -> None:
    env = {"EDGESYNC_TOKEN": "t", "EDGESYNC_URL": "http://127.0.0.1:1"}
    result = CliRunner(env=env).invoke(main, ["import", "baetyl", *words])
    assert result.exit_code != 0
    assert expected in result.output
