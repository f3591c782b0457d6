"""Tokens: who gets in with them, as what, and where; on every route of the table."""

import asyncio
import contextlib
import itertools
import json
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from click.testing import CliRunner, Result
from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

from cloud.core.audit import Actor, ActorKind
from cloud.core.installation import digest_of
from cloud.core.permissions import Permission, known_permissions
from cloud.core.tokens import Caller, Role
from cloud.errors import Denied, Unavailable
from cloud.http.refusals import RefusalLog
from cloud.http.requests import set_address, set_request_id
from cloud.rest.auth import TokenGate, caller_of
from cloud.rest.authenticator import NO_LIMITS, Authenticator
from cloud.rest.guard import put_guard
from cloud.rest.route import OPEN, ApiRoute
from cloud.rest.routes import ROUTES
from cloud.rest.sessions import Sessions
from cloud.store.transaction import Store, Transaction
from edgesync.__main__ import main
from tests.rest.conftest import (
    APP,
    CALLBACK,
    CONFIG,
    NODE,
    REGISTRY,
    REQUEST_ID,
    SECRET,
    TOKEN,
    ApiCaller,
    World,
    caller,
)

T = TypeVar("T")

DENIED: dict[str, Any] = {"status": 401, "code": "RequestAccessDenied"}
FORBIDDEN: dict[str, Any] = {"status": 403, "code": "RequestForbidden"}
INVALID: dict[str, Any] = {"status": 400, "code": "RequestParamInvalid"}

HANDS_OUT_CREDENTIALS = {
    "/v1/sysapps",
    "/v1/nodes/{name}/init",
    "/v1/nodes/{name}/commands/{id}",
    "/v1/register/{batch}/init",
    "/v1/register/{batch}",
    "/v1/secrets/{name}",
    "/v1/callback/{name}",
}
CHANGED_BY_ADMINS = {
    *("/v1/callback", "/v1/callback/{name}", "/v1/channels", "/v1/channels/{name}"),
    *("/v1/channels/{name}/undo", "/v1/channels/{name}/test"),
    *("/v1/roles", "/v1/roles/{name}", "/v1/roles/{name}/undo"),
}
CHANNEL = {"name": "hooks", "type": "webhook", "url": "https://hooks.example.com/x"}
NOTIFICATION_RULE = {"name": "fails", "channels": ["hooks"], "events": ["node.failed"]}
POLICY = {"name": "careful", "apps": {"names": ["web"]}}
CREATIONS: list[tuple[str, dict[str, Any]]] = [
    ("/v1/nodes", NODE),
    ("/v1/configs", CONFIG),
    ("/v1/secrets", SECRET),
    ("/v1/registries", REGISTRY),
    ("/v1/rolloutpolicies", POLICY),
    ("/v1/apps", {**APP, "registries": [{"name": "hub"}]}),
    ("/v1/register", {"name": "batch"}),
    ("/v1/register/batch/record", {"name": "record", "fingerprintValue": "F"}),
    ("/v1/callback", CALLBACK),
    ("/v1/channels", CHANNEL),
    ("/v1/notificationrules", NOTIFICATION_RULE),
    ("/v1/nodes/n1/commands", {"command": "report"}),
    ("/v1/roles", {"name": "deployer", "permissions": ["read apps/web"]}),
    ("/v1/tokens", {"name": "spare", "role": "viewer"}),
]
NAMES = {
    "nodes": "n1",
    "configs": "site",
    "secrets": "password",
    "registries": "hub",
    "apps": "web",
    "callback": "crm",
    "tokens": "spare",
    "channels": "hooks",
    "notificationrules": "fails",
    "rolloutpolicies": "careful",
    "rollouts": "web",
    "roles": "deployer",
    "users": "ann",
}


@contextlib.asynccontextmanager
async def bearer(world: World, token: str) -> AsyncIterator[ApiCaller]:
    headers = {"Authorization": f"Bearer {token}", "x-bce-request-id": REQUEST_ID}
    async with caller(world.url, headers) as http:
        yield ApiCaller(http)


async def made(world: World, role: str, namespace: str, name: str = "") -> str:
    body = {"name": name or role, "role": role, "namespace": namespace}
    token: str = (await world.client.call("POST", "/v1/tokens", body))["token"]
    return token


def database_text(directory: Path) -> str:
    files = directory.glob("edgesync.db*")
    return "".join(file.read_bytes().decode("latin-1") for file in files)


def path_of(route: ApiRoute) -> str:
    """The route's path for what `CREATIONS` makes."""
    name = NAMES.get(route.path.split("/")[2], "")
    return route.path.format(name=name, batch="batch", record="record", id=COMMAND, revision="1")


AUDIT = "/v1/audit"
COMMAND = "the-newest"


def expected_role(route: ApiRoute) -> Role:
    if route.path.startswith(("/v1/tokens", "/v1/users", AUDIT)):
        return Role.ADMIN
    if (route.method != "GET" and route.path in CHANGED_BY_ADMINS) or route.handler is put_guard:
        return Role.ADMIN
    if route.path.startswith("/v1/sessions"):
        return Role.VIEWER  # of the caller's own
    reads = route.method == "GET" and route.path not in HANDS_OUT_CREDENTIALS
    return Role.VIEWER if reads else Role.OPERATOR


@pytest.mark.parametrize("namespace", ["default", "*"])
@pytest.mark.parametrize("role", Role)
async def test_every_route_admits_its_roles_and_no_others(
    world: World, role: Role, namespace: str
) -> None:
    async with bearer(world, await made(world, role, namespace, "caller")) as client:
        for route in ROUTES:
            assert route.role is expected_role(route), route
            assert route.permissions or route.needs == OPEN, route
            methods = [route.method, *(["HEAD"] if route.method == "GET" else [])]
            for method in methods:
                response = await client.send(method, path_of(route), {})
                allowed = role.includes(route.role)
                is_elsewhere = route.path.startswith("/v1/users") and namespace != "*"
                allowed = allowed and not is_elsewhere  # users may have roles everywhere
                assert (response.status_code not in {401, 403}) is allowed, (method, route.path)
                if not allowed and method != "HEAD":
                    assert response.json()["code"] == "RequestForbidden"
                    named = f"needs permission {route.permissions[0]}" in response.text
                    assert named or (is_elsewhere and role is Role.ADMIN)


def test_every_permission_is_needed_by_a_route() -> None:
    needed = {one for route in ROUTES for one in route.permissions}
    beside = {Permission("read", "metrics")} | {
        Permission(verb, "sessions") for verb in ("list", "delete")
    }
    assert set(known_permissions()) == needed | beside


async def test_a_token_for_one_namespace_is_refused_by_every_route_in_another(
    world: World,
) -> None:
    async with bearer(world, await made(world, "admin", "one")) as client:
        for route in ROUTES:
            for other in ("two", "default", "*", "ONE", ""):
                await client.within(other).refused(route.method, path_of(route), {}, **FORBIDDEN)
        assert (await client.within("one").call("GET", "/v1/nodes"))["total"] == 0


async def fill(client: ApiCaller, mark: str) -> None:
    """One of everything; *mark* stands in each where text is allowed."""
    for path, body in CREATIONS:
        marked = {"description": mark} if re.fullmatch("/v1/[a-z]*", path) else {}
        if path == "/v1/tokens":
            marked = {}
        await client.call("POST", path, {**body, **marked})


async def newest_command(client: ApiCaller) -> str:
    listed = (await client.send("GET", "/v1/nodes/n1/commands")).json()
    return str(listed["items"][0]["id"]) if "items" in listed else COMMAND


async def seen(client: ApiCaller) -> dict[str, Any]:
    """What every route that reads and changes nothing shows; looks may be audited themselves."""
    shown = {}
    command = await newest_command(client)
    for route in ROUTES:
        if route.path == "/v1/users":  # of no namespace
            continue
        if route.method == "GET" and not route.path.endswith(("/init", "/can-i")):
            # To look at a secret is an entry of the log too.
            query = "?kind=node" if route.path == AUDIT else ""
            path = path_of(route).replace(COMMAND, command)
            response = await client.send("GET", path + query)
            shown[route.path] = (response.status_code, response.text.replace(REQUEST_ID, ""))
    return shown


async def change_everything(client: ApiCaller) -> None:
    """Every write there is, what is deleted last; whether it succeeds does not matter here."""
    bodies: list[Any] = [{}, {"description": "changed"}, {"num": 1}, {"password": "changed"}]
    order = sorted(ROUTES, key=lambda route: route.method == "DELETE")
    for route, body in itertools.product(order, bodies):
        if route.method != "GET" or route.path.endswith("/init"):
            await client.send(route.method, path_of(route), body)
    for route in [route for route in order if route.method == "DELETE"] * 3:
        await client.send("DELETE", path_of(route))


@pytest.mark.parametrize("is_filled", [False, True])
async def test_nothing_of_one_namespace_shows_in_or_is_changed_from_another(
    world: World, *, is_filled: bool
) -> None:
    tokens = [await made(world, "admin", namespace) for namespace in ("one", "two")]
    async with bearer(world, tokens[0]) as one, bearer(world, tokens[1]) as two:
        empty = await seen(two)
        await fill(one, "mark-of-one")
        before = await seen(one)
        assert "mark-of-one" in json.dumps(before)
        assert all(status == 200 for status, _ in before.values())
        assert await seen(two) == empty
        if is_filled:
            await fill(two, "mark-of-two")
            assert all(status == 200 for status, _ in (await seen(two)).values())
        assert "mark-of-one" not in json.dumps(await seen(two))
        assert '"namespace":"one"' not in json.dumps(await seen(two))
        assert '"namespace":"one"' not in (await two.send("GET", AUDIT)).text
        await change_everything(two)
        assert await seen(one) == before
        assert (await two.call("GET", "/v1/nodes"))["total"] == 0


async def test_a_token_is_answered_once_and_neither_kept_nor_shown(
    world: World, tmp_path: Path
) -> None:
    token = await made(world, "viewer", "*")
    response = await world.client.send("GET", "/v1/tokens?namespace=*")
    (shown,) = response.json()["items"]
    assert shown == {
        "name": "viewer",
        "namespace": "*",
        "role": "viewer",
        "createTime": "2026-01-02T03:04:05Z",
        "expires": None,
        "lastUsedTime": None,
        "permissions": [],
        "nodes": "",
        "previousExpires": None,
    }
    assert token not in database_text(tmp_path)
    assert digest_of(token) in database_text(tmp_path)


async def test_the_last_use_is_recorded_once_a_minute(world: World) -> None:
    async def recorded() -> str:
        text: str = (await world.client.call("GET", "/v1/tokens"))["items"][0]["lastUsedTime"]
        return text

    async with bearer(world, await made(world, "viewer", "default")) as client:
        for seconds, last in [(0, "03:04:05"), (59, "03:04:05"), (1, "03:05:05")]:
            world.clock.advance(seconds)
            await client.call("GET", "/v1/nodes")
            assert await recorded() == f"2026-01-02T{last}Z"


class _Full:
    """A store on a disk that is full."""

    def __init__(self, store: Store) -> None:
        self.read, self.read_short = store.read, store.read_short

    async def write(self, work: Callable[[Transaction], T]) -> T:
        raise Unavailable("the disk is full")

    write_concurrent = write


async def test_people_can_look_while_no_use_can_be_recorded(world: World) -> None:
    callers: list[Caller] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        callers.append(caller_of(Request(scope)))

    store = _Full(world.store)
    authenticator = Authenticator("", store, world.clock, NO_LIMITS, RefusalLog(store, lambda: 0.0))
    gate = TokenGate(app, authenticator=authenticator, sessions=Sessions(bytes(32)))
    scope = scope_with_token(await made(world, "viewer", "one"))
    await gate(scope, nothing_comes, nothing_goes)
    assert callers == [Caller({"one": Role.VIEWER}, Actor(ActorKind.TOKEN, "viewer", "one"))]
    with pytest.raises(Denied):
        await gate(scope_with_token("another"), nothing_comes, nothing_goes)


def scope_with_token(token: str) -> Scope:
    headers = [(b"authorization", f"Bearer {token}".encode())]
    scope = {"type": "http", "method": "GET", "path": "/v1", "headers": headers}
    set_request_id(scope, lambda: "id")
    set_address(scope, trusted_proxies=())
    return scope


async def nothing_comes() -> Message:
    raise AssertionError("no body is read here")


async def nothing_goes(message: Message) -> None:
    raise AssertionError("no answer is sent here")


async def test_a_revoked_token_is_refused_at_once_and_its_name_is_free(world: World) -> None:
    async with bearer(world, await made(world, "viewer", "default")) as client:
        await client.call("GET", "/v1/nodes")
        await world.client.call("DELETE", "/v1/tokens/viewer")
        await client.refused("GET", "/v1/nodes", **DENIED)
        await made(world, "viewer", "default")
        await client.refused("GET", "/v1/nodes", **DENIED)
    await world.client.refused("DELETE", "/v1/tokens/other", status=404, code="ResourceNotFound")


async def test_a_token_is_refused_from_its_end_on(world: World) -> None:
    body = {"name": "t", "role": "viewer", "expires": "2026-01-02T04:05:05.678901+01:00"}
    answer = await world.client.call("POST", "/v1/tokens", body)
    assert answer["expires"] == "2026-01-02T03:05:05Z"
    async with bearer(world, answer["token"]) as client:
        world.clock.advance(59)
        await client.call("GET", "/v1/nodes")
        world.clock.advance(1)
        await client.refused("GET", "/v1/nodes", **DENIED)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "a/b"}, "name"),
        ({"role": "root"}, "role"),
        ({"role": None}, "role"),
        ({"namespace": "a.b"}, "namespace"),
        ({"namespace": "**"}, "namespace"),
        ({"expires": "tomorrow"}, "expires"),
        ({"expires": "2026-01-03T00:00:00"}, "expires"),
        ({"expires": "2026-01-02T03:04:05Z"}, "expires"),
        ({"expires": "0001-01-01T00:00:00+14:00"}, "expires"),
        ({"expires": "9999-12-31T23:59:59-14:00"}, "expires"),
        ({"digest": "d"}, "digest"),
    ],
)
async def test_a_wrong_token_is_refused_by_name_and_nothing_is_kept(
    client: ApiCaller, change: dict[str, Any], field: str
) -> None:
    body = {"name": "t", "role": "viewer", **change}
    message = await client.refused("POST", "/v1/tokens", body, **INVALID)
    assert f"({field}: " in message
    assert (await client.call("GET", "/v1/tokens?namespace=*"))["total"] == 0


async def test_names_are_taken_in_one_namespace_only(world: World) -> None:
    for namespace in ("one", "two", "*"):
        await made(world, "viewer", namespace, "same")
    body = {"name": "same", "role": "admin", "namespace": "one"}
    await world.client.refused("POST", "/v1/tokens", body, **INVALID)
    await world.client.call("DELETE", "/v1/tokens/same?namespace=*")
    left = (await world.client.call("GET", "/v1/tokens?namespace=*"))["items"]
    assert [token["namespace"] for token in left] == ["one", "two"]


async def test_an_admin_of_one_namespace_cannot_change_tokens_of_others(world: World) -> None:
    await made(world, "viewer", "two")
    async with bearer(world, await made(world, "admin", "one")) as client:
        assert (await client.call("GET", "/v1/tokens"))["total"] == 1
        for other in ("two", "*"):
            body = {"name": "t", "role": "admin", "namespace": other}
            await client.refused("POST", "/v1/tokens", body, **FORBIDDEN)
            await client.refused("GET", f"/v1/tokens?namespace={other}", **FORBIDDEN)
            path = f"/v1/tokens/viewer?namespace={other}"
            await client.refused("DELETE", path, **FORBIDDEN)


async def test_tokens_are_listed_page_by_page(world: World) -> None:
    for namespace in ("one", "two", "*"):
        await made(world, "viewer", namespace, "t")
        world.clock.advance(1)
    first = await world.client.call("GET", "/v1/tokens?namespace=*&limit=2")
    assert [token["namespace"] for token in first["items"]] == ["one", "two"]
    assert first["total"] == 3
    onward = first["listOptions"]["continue"]
    last = await world.client.call("GET", f"/v1/tokens?namespace=*&limit=2&continue={onward}")
    assert [token["namespace"] for token in last["items"]] == ["*"]
    assert last["listOptions"]["continue"] == ""
    for other in ("one", "two"):
        path = f"/v1/tokens?namespace={other}&continue={onward}"
        message = await world.client.refused("GET", path, **INVALID)
        assert "(continue: " in message
    for selector in ("selector=a", "fieldSelector=metadata.name=t"):
        await world.client.refused("GET", f"/v1/tokens?{selector}", **INVALID)


async def test_the_command_makes_shows_and_revokes_tokens(world: World, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN + "\n")

    async def run(*words: str, **environ: str) -> Result:
        env = {"EDGESYNC_URL": world.url, **environ}
        return await asyncio.to_thread(CliRunner(env=env).invoke, main, ["token", *words])

    now = "2026-01-02T03:04:05Z"
    words = ("create", "ci", "--role", "viewer", "--namespace", "one")
    made = await run(*words, "--expires", "2026-02-01T00:00:00Z", EDGESYNC_TOKEN=TOKEN)
    assert made.exit_code == 0, made.output
    async with bearer(world, made.output.strip()) as client:
        await client.call("GET", "/v1/nodes")
        shown = await run("list", "--namespace", "*", EDGESYNC_TOKEN_FILE=str(file))
        assert [line.split() for line in shown.output.splitlines()][1:] == [
            ["one", "ci", "viewer", now, "2026-02-01T00:00:00Z", now, "-", "-"]
        ]
        taken = await run(*words, EDGESYNC_TOKEN_FILE=str(file))
        assert (taken.exit_code, "in use" in taken.output) == (1, True)
        rotate = ("rotate", "ci", "--namespace", "one", "--overlap", "1h")
        rotated = await run(*rotate, EDGESYNC_TOKEN_FILE=str(file))
        assert rotated.exit_code == 0, rotated.output
        assert rotated.output != made.output
        revoked = await run("revoke", "ci", "--namespace", "one", EDGESYNC_TOKEN_FILE=str(file))
        assert revoked.exit_code == 0, revoked.output
        await client.refused("GET", "/v1/nodes", **DENIED)


@pytest.mark.parametrize(
    ("words", "environ", "message"),
    [
        (["list"], {}, "EDGESYNC_TOKEN"),
        (["--url", "http://sync.example.com", "list"], {"EDGESYNC_TOKEN": "t"}, "https only"),
        (["--url", "sync", "list"], {"EDGESYNC_TOKEN": "t"}, "not an http"),
        (["--url", "http://127.0.0.1:1", "list"], {"EDGESYNC_TOKEN": "t"}, "127.0.0.1:1"),
        (["--ca", __file__, "list"], {"EDGESYNC_TOKEN": "t"}, "not a certificate"),
    ],
)
def test_the_command_fails_with_the_reason(
    words: list[str], environ: dict[str, str], message: str
) -> None:
    result = CliRunner(env=environ).invoke(main, ["token", *words])
    assert result.exit_code != 0
    assert message in result.output
    assert CliRunner().invoke(main, ["token", "list", "--help"]).exit_code == 0
