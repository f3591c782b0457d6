"""Apps in mode native, and what else present-day agents read, from the API to the node."""

from typing import Any

from cloud.core.objects import cannot_sign
from cloud.operations.desires import deliver, read_infos
from tests.rest.conftest import NODE, ApiCaller, World

PROGRAM = {
    "name": "counter-v1",
    "data": [{"key": "program.yml", "value": {"type": "kv", "value": "entry: run.sh"}}],
}
MOUNT = {"name": "baetyl-program-config-counter", "mountPath": "/var/lib/baetyl/bin"}
NATIVE = {
    "name": "counter",
    "selector": "role=gateway",
    "mode": "native",
    "services": [
        {
            "name": "counter",
            "programConfig": "counter-v1",
            "livenessProbe": {"exec": {"command": ["true"]}, "periodSeconds": 2},
        }
    ],
    "minReadySeconds": 2,
    "progressDeadlineSeconds": 30,
}


async def bodies(world: World, *names: tuple[str, str]) -> list[Any]:
    infos = read_infos({"infos": [{"kind": kind, "name": name} for kind, name in names]})
    found = await world.store.read(lambda tx: deliver(tx, "default.n1", infos, presign=cannot_sign))
    return [value["value"] for value in found.content["values"]]


async def test_a_native_app_reaches_its_node_with_its_program(world: World) -> None:
    client = world.client
    await client.call("POST", "/v1/nodes", NODE)
    await client.call("POST", "/v1/configs", PROGRAM)
    created = await client.call("POST", "/v1/apps", NATIVE)
    assert await client.call("GET", "/v1/apps/counter") == created
    app, program = await bodies(world, ("app", "counter"), ("config", "counter-v1"))
    assert app["mode"] == "native"
    assert (app["minReadySeconds"], app["progressDeadlineSeconds"]) == (2, 30)
    [service] = app["services"]
    assert service["livenessProbe"]["failureThreshold"] == 3
    [mount] = service["volumeMounts"]
    assert mount | MOUNT == mount
    version = program["version"]
    assert app["volumes"] == [
        {"name": MOUNT["name"], "config": {"name": "counter-v1", "version": version}}
    ]
    assert program["data"] == {"program.yml": "entry: run.sh"}


async def test_a_native_app_put_again_changes_nothing(client: ApiCaller) -> None:
    await client.call("POST", "/v1/configs", PROGRAM)
    created = await client.call("POST", "/v1/apps", NATIVE)
    assert await client.call("PUT", "/v1/apps/counter", created) == created
    assert await client.call("PUT", "/v1/apps/counter", NATIVE) == created
    patched = await client.call("PATCH", "/v1/apps/counter", {"replica": 2})
    assert (patched["replica"], patched["mode"]) == (2, "native")
    undone = await client.call("PATCH", "/v1/apps/counter", {"replica": None})
    assert "replica" not in undone


async def test_a_program_is_in_use_and_has_to_be_there(client: ApiCaller) -> None:
    refused = await client.refused("POST", "/v1/apps", NATIVE, status=404, code="ResourceNotFound")
    assert "(counter-v1)" in refused
    await client.call("POST", "/v1/configs", PROGRAM)
    await client.call("POST", "/v1/apps", NATIVE)
    await client.refused("DELETE", "/v1/configs/counter-v1", status=403, code="ResourceHasBeenUsed")
    rolled = {**PROGRAM, "data": []}
    await client.call("PUT", "/v1/configs/counter-v1", rolled)
    assert int((await client.call("GET", "/v1/apps/counter"))["version"]) > 2
