"""Roles of a namespace, tokens narrower than a role, and rotation."""

from typing import Any

import pytest

from cloud.core.audit import Actor, ActorKind
from cloud.core.custom_role import PERMISSIONS_LIMIT
from cloud.core.installation import digest_of
from cloud.core.local_users import LocalUser
from cloud.core.tokens import EVERYWHERE, ApiToken
from cloud.core.user_sessions import SessionKind, User, UserSession
from cloud.store.transaction import Transaction
from tests.rest.conftest import ApiCaller, World, describe
from tests.rest.test_tokens import DENIED, FORBIDDEN, INVALID, bearer, made

ROLE = {"name": "deployer", "permissions": ["list apps", "* apps/web*", "approve rollouts/web"]}


async def role_and_token(world: World, permissions: list[str]) -> str:
    body = {"name": "own", "permissions": permissions}
    await world.client.call("POST", "/v1/roles", body)
    return await made(world, "own", "default", "caller")


async def test_a_role_permits_what_it_names_and_nothing_else(world: World) -> None:
    await describe(world.client)
    token = await role_and_token(world, ["read apps/web", "list configs"])
    async with bearer(world, token) as client:
        await client.call("GET", "/v1/apps/web")
        await client.call("GET", "/v1/apps/web/rollout")
        await client.call("GET", "/v1/configs")
        await client.call("GET", "/v1/whoami")
        for method, path, needed in (
            ("GET", "/v1/apps/other", "read apps/other"),
            ("GET", "/v1/apps", "list apps"),
            ("PUT", "/v1/apps/web", "update apps/web"),
            ("GET", "/v1/configs/site", "read configs/site"),
            ("GET", "/v1/nodes", "list nodes"),
            ("POST", "/v1/tokens", "create tokens"),
            ("GET", "/v1/events?namespace=default", "list events"),
            ("GET", "/v1/audit", "list audit"),
        ):
            message = await client.refused(method, path, {}, **FORBIDDEN)
            assert f"needs permission {needed} in namespace default" in message, path
            assert "the token has the role own" in message


async def test_a_command_needs_the_permission_of_its_own(world: World) -> None:
    await describe(world.client)
    token = await role_and_token(world, ["restart nodes", "update nodes"])
    async with bearer(world, token) as client:
        restart = {"command": "restart", "app": "web"}
        await client.call("POST", "/v1/nodes/n1/commands", restart)
        for command, verb in (("logs", "logs"), ("update", "upgrade")):
            message = await client.refused(
                "POST", "/v1/nodes/n1/commands", {"command": command, "app": "web"}, **FORBIDDEN
            )
            assert f"needs permission {verb} nodes/n1" in message


async def test_a_change_of_a_role_counts_from_the_next_call_on(world: World) -> None:
    async with bearer(world, await role_and_token(world, ["list nodes"])) as client:
        await client.call("GET", "/v1/nodes")
        await world.client.call("PUT", "/v1/roles/own", {"permissions": ["list apps"]})
        await client.refused("GET", "/v1/nodes", **FORBIDDEN)
        await client.call("GET", "/v1/apps")


async def test_a_role_that_a_token_has_stays(world: World) -> None:
    await role_and_token(world, ["list nodes"])
    refused = await world.client.send("DELETE", "/v1/roles/own")
    assert refused.status_code == 403
    assert "the tokens caller" in refused.text
    await world.client.call("DELETE", "/v1/tokens/caller")
    ann = {"name": "ann", "password": "a long password", "grants": {"default": "own on a=b"}}
    await world.client.call("POST", "/v1/users", ann)
    refused = await world.client.send("DELETE", "/v1/roles/own")
    assert refused.status_code == 403
    assert "used by 1 local user" in refused.text
    # The role of another namespace that has the same name is another one.
    await world.client.call("PUT", "/v1/users/ann", {"grants": {"two": "viewer"}})
    await world.client.within("two").call("POST", "/v1/roles", {**ROLE, "name": "own"})
    await world.client.call("PUT", "/v1/users/ann", {"grants": {"two": "own"}})
    await world.client.call("DELETE", "/v1/roles/own")


async def test_a_role_that_is_gone_is_given_by_administrators_alone(world: World) -> None:
    """One of the same name may be made again, with more permissions."""
    now = world.clock()
    token = ApiToken("default", "old", digest_of("old"), "gone", now)
    user = LocalUser("ann", "id", "hash", {"default": "gone"}, now, now)

    def store(tx: Transaction) -> None:
        tx.put_api_token(token)
        tx.put_local_user(user)

    await world.store.write(store)
    rights = ["* tokens", "* users", "* roles"]
    body = {"name": "manager", "role": "admin", "namespace": "*", "permissions": rights}
    manager = (await world.client.call("POST", "/v1/tokens", body))["token"]
    async with bearer(world, manager) as client:
        for method, path, sent in (
            ("POST", "/v1/tokens/old/rotate", {}),
            ("PUT", "/v1/users/ann", {"password": "a password of mine"}),
            ("POST", "/v1/users/ann/totp", {}),
        ):
            message = await client.refused(method, path, sent, **FORBIDDEN)
            assert "needs permission * * in namespace default" in message
    await world.client.call("POST", "/v1/tokens/old/rotate")
    await world.client.call("DELETE", "/v1/users/ann")


async def test_a_role_is_one_of_its_namespace_alone(world: World) -> None:
    await world.client.within("one").call("POST", "/v1/roles", ROLE)
    for namespace in ("two", EVERYWHERE):
        body = {"name": "t", "role": "deployer", "namespace": namespace}
        message = await world.client.refused("POST", "/v1/tokens", body, **INVALID)
        assert "(role: there is no role 'deployer'" in message
    token = await made(world, "deployer", "one")
    async with bearer(world, token) as client:
        await client.call("GET", "/v1/apps")
        await client.within("two").refused("GET", "/v1/apps", **FORBIDDEN)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": "viewer"}, "name"),
        ({"name": "Admin"}, "name"),
        ({"name": "a b"}, "name"),
        ({"permissions": []}, "permissions"),
        ({"permissions": ["list apps", "explode apps"]}, "permissions[1]"),
        ({"permissions": ["list apps"] * (PERMISSIONS_LIMIT + 1)}, "permissions"),
        ({"permissions": "list apps"}, "permissions"),
    ],
)
async def test_a_wrong_role_is_refused_by_name(
    client: ApiCaller, change: dict[str, Any], field: str
) -> None:
    message = await client.refused("POST", "/v1/roles", {**ROLE, **change}, **INVALID)
    assert f"({field}: " in message


async def test_who_manages_roles_and_tokens_gains_nothing_by_it(world: World) -> None:
    rights = ["* roles", "* tokens", "list apps", "read apps/web*"]
    token = await role_and_token(world, rights)
    await world.client.call("POST", "/v1/roles", {"name": "wide", "permissions": ["* *"]})
    await made(world, "admin", "default", "boss")
    async with bearer(world, token) as client:
        narrow = {"name": "narrow", "permissions": ["read apps/web-1"]}
        await client.call("POST", "/v1/roles", narrow)
        await client.call("POST", "/v1/tokens", {"name": "t", "role": "narrow"})
        only = {"name": "u", "role": "admin", "permissions": ["read apps/web"]}
        await client.call("POST", "/v1/tokens", only)
        for method, path, body in (
            ("POST", "/v1/roles", {"name": "x", "permissions": ["read apps"]}),
            ("POST", "/v1/roles", {"name": "x", "permissions": ["* apps/web"]}),
            ("PUT", "/v1/roles/narrow", {"permissions": ["* *"]}),
            ("PATCH", "/v1/roles/own", {"permissions": ["* *"]}),
            ("POST", "/v1/tokens", {"name": "x", "role": "admin"}),
            ("POST", "/v1/tokens", {"name": "x", "role": "wide"}),
            ("POST", "/v1/tokens", {"name": "x", "role": "admin", "permissions": ["read apps"]}),
            ("POST", "/v1/tokens/boss/rotate", {}),
        ):
            message = await client.refused(method, path, body, **FORBIDDEN)
            assert "needs permission" in message, path
    await world.client.call("PUT", "/v1/roles/narrow", {"permissions": ["* nodes"]})
    async with bearer(world, token) as client:
        await client.call("PUT", "/v1/roles/narrow", {"permissions": ["list apps"]})
        await client.refused("POST", "/v1/roles/narrow/undo", {"revision": 2}, **FORBIDDEN)


async def narrowed(world: World, *permissions: str) -> str:
    name = "-".join(permissions).translate(str.maketrans(" /", "--"))
    body = {"name": name, "role": "admin", "permissions": permissions}
    return str((await world.client.call("POST", "/v1/tokens", body))["token"])


async def test_who_may_change_a_secret_and_not_read_it_is_shown_no_value(world: World) -> None:
    client, values = world.client, ("value-one", "value-two")
    await client.call("POST", "/v1/secrets", {"name": "db", "data": {"key": values[0]}})
    await client.call("PUT", "/v1/secrets/db", {"data": {"key": values[1]}})
    batch = await client.call("POST", "/v1/register", {"name": "shops"})
    hidden = {"key": "********"}
    async with bearer(world, await narrowed(world, "update secrets/db")) as writer:
        await writer.refused("GET", "/v1/secrets/db", **FORBIDDEN)
        patched = await writer.call("PATCH", "/v1/secrets/db", {})
        assert (patched["name"], patched["data"]) == ("db", hidden)
        put = await writer.call("PUT", "/v1/secrets/db", {"data": {"key": "value-three"}})
        assert put["data"] == hidden
        yaml = await writer.saying(Accept="application/yaml").send("PATCH", "/v1/secrets/db", {})
        assert "value-three" not in yaml.text
        assert "********" in yaml.text
    async with bearer(world, await narrowed(world, "undo secrets/db")) as undoer:
        undone = await undoer.call("POST", "/v1/secrets/db/undo", {"revision": 1})
        assert undone["data"] == hidden
    async with bearer(world, await narrowed(world, "update batches/shops")) as writer:
        for method in ("PUT", "PATCH"):
            answer = await writer.send(method, "/v1/register/shops", {"description": method})
            assert answer.status_code == 200
            assert batch["securityKey"] not in answer.text
    both = "update secrets", "read secrets/db"
    async with bearer(world, await narrowed(world, *both)) as reader:
        assert (await reader.call("PATCH", "/v1/secrets/db", {}))["data"] == {"key": values[0]}
    stored = await client.call("GET", "/v1/secrets/db")
    assert stored["data"] == {"key": values[0]}


async def test_an_app_is_copied_by_those_who_may_read_it(world: World) -> None:
    await describe(world.client)
    rights = "create apps", "read apps/open"
    async with bearer(world, await narrowed(world, *rights)) as client:
        for parameter in ("from", "base"):
            for source in ("web", "nothing-of-that-name"):
                path = f"/v1/apps?{parameter}={source}"
                message = await client.refused(
                    "POST", path, {"name": "copy", "services": []}, **FORBIDDEN
                )
                assert f"needs permission read apps/{source}" in message
        await world.client.call("POST", "/v1/apps?from=web", {"name": "open"})
        await client.call("POST", "/v1/apps?from=open", {"name": "copy"})


async def test_a_token_is_narrowed_to_its_permissions(world: World) -> None:
    await describe(world.client)
    only = ["read apps/web", "approve rollouts", "create records/shops"]
    body = {"name": "ci", "role": "operator", "permissions": only}
    answer = await world.client.call("POST", "/v1/tokens", body)
    assert answer["permissions"] == only
    await world.client.call("POST", "/v1/register", {"name": "shops"})
    async with bearer(world, answer["token"]) as client:
        await client.call("GET", "/v1/apps/web")
        record = {"name": "till-1", "fingerprintValue": "F"}
        await client.call("POST", "/v1/register/shops/record", record)
        await client.refused(
            "POST", "/v1/rollouts/web/approve", status=404, code="ResourceNotFound"
        )
        message = await client.refused("PUT", "/v1/apps/web", {}, **FORBIDDEN)
        assert "has the role operator, narrowed to read apps/web, approve rollouts" in message
        await client.refused("POST", "/v1/register/others/record", record, **FORBIDDEN)
    # What the role does not have, no permission adds.
    body = {"name": "more", "role": "viewer", "permissions": ["* *"]}
    async with bearer(world, (await world.client.call("POST", "/v1/tokens", body))["token"]) as c:
        await c.call("GET", "/v1/apps/web")
        await c.refused("DELETE", "/v1/apps/web", **FORBIDDEN)


async def test_a_rotated_token_works_with_both_secrets_until_the_overlap_ends(
    world: World,
) -> None:
    old = await made(world, "viewer", "default", "ci")
    answer = await world.client.call("POST", "/v1/tokens/ci/rotate", {"overlap": "1h"})
    assert answer["previousExpires"] == "2026-01-02T04:04:05Z"
    async with bearer(world, old) as before, bearer(world, answer["token"]) as after:
        world.clock.advance(3599)
        await before.call("GET", "/v1/nodes")
        await after.call("GET", "/v1/nodes")
        (shown,) = (await world.client.call("GET", "/v1/tokens"))["items"]
        assert shown["lastUsedTime"] == "2026-01-02T04:04:04Z"
        world.clock.advance(1)
        await before.refused("GET", "/v1/nodes", **DENIED)
        await after.call("GET", "/v1/nodes")
        newest = await world.client.call("POST", "/v1/tokens/ci/rotate")
        await after.refused("GET", "/v1/nodes", **DENIED)
        await before.refused("GET", "/v1/nodes", **DENIED)
    async with bearer(world, newest["token"]) as client:
        await client.call("GET", "/v1/nodes")
        await world.client.call("DELETE", "/v1/tokens/ci")
        await client.refused("GET", "/v1/nodes", **DENIED)
    log = await world.client.call("GET", "/v1/audit?action=token.rotate")
    assert [entry["name"] for entry in log["items"]] == ["ci", "ci"]
    assert digest_of(old) not in str(log)


async def test_two_rotations_within_the_overlap_leave_the_last_two_secrets(world: World) -> None:
    first = await made(world, "viewer", "default", "ci")
    rotate = ("POST", "/v1/tokens/ci/rotate", {"overlap": "1h"})
    second = (await world.client.call(*rotate))["token"]
    third = (await world.client.call(*rotate))["token"]
    async with bearer(world, first) as client:
        await client.refused("GET", "/v1/nodes", **DENIED)
    for token in (second, third):
        async with bearer(world, token) as client:
            await client.call("GET", "/v1/nodes")


async def test_a_rotation_does_not_revive_what_has_expired(world: World) -> None:
    body = {"name": "ci", "role": "viewer", "expires": "2026-01-02T04:00:00Z"}
    old = (await world.client.call("POST", "/v1/tokens", body))["token"]
    world.clock.advance(3600)
    path = "/v1/tokens/ci/rotate"
    message = await world.client.refused("POST", path, {"overlap": "1h"}, **INVALID)
    assert "(expires: the token has expired" in message
    later = {"overlap": "1h", "expires": "2026-01-03T00:00:00Z"}
    new = (await world.client.call("POST", path, later))["token"]
    async with bearer(world, old) as client:
        await client.refused("GET", "/v1/nodes", **DENIED)
    async with bearer(world, new) as client:
        await client.call("GET", "/v1/nodes")
    for overlap, field in (("31d", "overlap"), ("soon", "overlap")):
        message = await world.client.refused("POST", path, {"overlap": overlap}, **INVALID)
        assert f"({field}: " in message
    await world.client.refused(
        "POST", "/v1/tokens/other/rotate", status=404, code="ResourceNotFound"
    )


async def test_a_session_has_the_roles_of_its_namespaces(world: World) -> None:
    await describe(world.client)
    await world.client.call("POST", "/v1/roles", {"name": "own", "permissions": ["read apps/web"]})
    await world.client.within("two").call(
        "POST", "/v1/roles", {"name": "own", "permissions": ["list nodes"]}
    )
    secret, now = "eus_secret", world.clock()
    user = User("company", "s1", "company:ann")
    grants = {"default": "own", "two": "own"}
    ends = now.replace(year=2027)
    session = UserSession(
        "id", digest_of(secret), user, SessionKind.EXCHANGE, grants, now, ends, now
    )
    await world.store.write(lambda tx: tx.put_user_session(session))
    assert user.actor == Actor(ActorKind.USER, "company:ann", EVERYWHERE)
    async with bearer(world, secret) as client:
        await client.call("GET", "/v1/apps/web")
        await client.refused("GET", "/v1/nodes", **FORBIDDEN)
        await client.within("two").call("GET", "/v1/nodes")
        await client.within("two").refused("GET", "/v1/apps/web", **FORBIDDEN)
        assert (await client.call("GET", "/v1/whoami"))["grants"] == grants
