"""Function apps, and apps that are made from others."""

from typing import Any

from cloud.core.objects import cannot_sign
from cloud.operations.desires import deliver, read_infos
from tests.rest.conftest import APP, NODE, ApiCaller, World, describe

CODE = {"name": "code", "data": [{"key": "index.py", "value": {"type": "kv", "value": "x = 1"}}]}
SERVICE = {
    "name": "greet",
    "functionConfig": {"name": "code", "runtime": "python36"},
    "functions": [{"name": "hello", "handler": "index.handler", "codedir": "."}],
}
FUNCTIONS = {
    "name": "fn",
    "selector": "role=gateway",
    "type": "function",
    "services": [SERVICE],
}
LIST = "baetyl-function-config-fn.greet"


async def bodies(world: World, *names: tuple[str, str]) -> list[Any]:
    infos = read_infos({"infos": [{"kind": kind, "name": name} for kind, name in names]})
    found = await world.store.read(lambda tx: deliver(tx, "default.n1", infos, presign=cannot_sign))
    return [value["value"] for value in found.content["values"]]


async def test_a_function_app_is_completed_and_delivered(world: World) -> None:
    client = world.client
    await client.call("POST", "/v1/nodes", NODE)
    await client.call("POST", "/v1/configs", CODE)
    created = await client.call("POST", "/v1/apps", FUNCTIONS)
    assert created["services"][0]["image"] == "runtimes/python:3.6"
    assert all(mount["immutable"] for mount in created["services"][0]["volumeMounts"])
    assert await client.call("GET", "/v1/apps/fn") == created
    app, listed, code = await bodies(
        world, ("application", "fn"), ("config", LIST), ("config", "code")
    )
    versions = {volume["config"]["name"]: volume["config"]["version"] for volume in app["volumes"]}
    assert versions == {"code": code["version"], LIST: listed["version"]}
    assert '"hello"' in listed["data"]["conf.yml"]


async def test_a_function_app_put_again_changes_nothing(client: ApiCaller) -> None:
    await client.call("POST", "/v1/configs", CODE)
    created = await client.call("POST", "/v1/apps", FUNCTIONS)
    assert await client.call("PUT", "/v1/apps/fn", created) == created
    assert await client.call("PUT", "/v1/apps/fn", FUNCTIONS) == created
    functions = [{"name": "bye", "handler": "index.bye", "codedir": "."}]
    service = {**created["services"][0], "functions": functions}
    changed = await client.call("PUT", "/v1/apps/fn", {**created, "services": [service]})
    assert int(changed["version"]) > int(created["version"])


async def test_the_list_of_functions_is_in_no_list(client: ApiCaller) -> None:
    await client.call("POST", "/v1/configs", CODE)
    await client.call("POST", "/v1/apps", FUNCTIONS)
    listed = await client.call("GET", "/v1/configs")
    assert [config["name"] for config in listed["items"]] == ["code"]
    await client.refused("GET", f"/v1/configs/{LIST}", status=404, code="ResourceNotFound")
    users = await client.call("GET", "/v1/configs/code/apps")
    assert [app["name"] for app in users["items"]] == ["fn"]
    await client.refused("DELETE", "/v1/configs/code", status=403, code="ResourceHasBeenUsed")
    await client.call("DELETE", "/v1/apps/fn")
    await client.call("DELETE", "/v1/configs/code")


async def test_what_a_function_needs_has_to_be_there(client: ApiCaller) -> None:
    missing = await client.refused(
        "POST", "/v1/apps", FUNCTIONS, status=404, code="ResourceNotFound"
    )
    assert "(config) resource (code)" in missing
    await client.call("POST", "/v1/configs", CODE)
    service = {**SERVICE, "functionConfig": {"name": "code", "runtime": "cobol"}}
    unknown = await client.refused(
        "POST",
        "/v1/apps",
        {**FUNCTIONS, "services": [service]},
        status=404,
        code="ResourceNotFound",
    )
    assert "(runtime) resource (cobol)" in unknown


async def test_a_base_stands_before_what_is_new(client: ApiCaller) -> None:
    await describe(client)
    extra = {"name": "more", "services": [{"name": "log", "image": "log:1"}]}
    made = await client.call("POST", "/v1/apps?base=web", extra)
    assert [service["name"] for service in made["services"]] == ["web", "log"]
    assert [volume["name"] for volume in made["volumes"]] == ["site", "password", "data"]
    assert (made["selector"], made["description"]) == ("", "")
    for body, base, status, code in (
        ({**extra, "name": "x"}, "missing", 404, "ResourceNotFound"),
        ({**extra, "name": "x", "type": "function"}, "web", 400, "RequestParamInvalid"),
        ({**APP, "name": "x"}, "web", 400, "RequestParamInvalid"),
    ):
        await client.refused("POST", f"/v1/apps?base={base}", body, status=status, code=code)


async def test_an_app_can_be_copied_in_part(client: ApiCaller) -> None:
    await describe(client)
    web = await client.call("GET", "/v1/apps/web")
    copy = await client.call("POST", "/v1/apps?from=web", {"name": "copy", "selector": ""})
    assert copy["services"] == web["services"]
    assert (copy["selector"], copy["labels"]) == ("", web["labels"])
    await client.refused(
        "POST", "/v1/apps?from=missing", {"name": "x"}, status=404, code="ResourceNotFound"
    )


async def test_a_copy_of_a_function_app_has_a_list_of_its_own(client: ApiCaller) -> None:
    await client.call("POST", "/v1/configs", CODE)
    await client.call("POST", "/v1/apps", FUNCTIONS)
    copy = await client.call("POST", "/v1/apps?from=fn", {"name": "copy"})
    names = [volume["config"]["name"] for volume in copy["volumes"]]
    assert names == ["code", "baetyl-function-config-copy.greet"]
