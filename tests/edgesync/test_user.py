"""`edgesync user` and `edgesync session`."""

import pytest

from tests.edgesync.conftest import Shell
from tests.rest.conftest import caller
from tests.rest.test_users import own_page

PASSWORD = "a long password of ann"


async def test_a_user_is_made_changed_and_deleted(shell: Shell) -> None:
    file = shell.file("password", f"{PASSWORD}\n")
    grants = ("--grant", "*=viewer", "--grant", "north=admin")
    await shell.run("user", "create", "ann", *grants, "--password-file", file)
    row = (await shell.lines("user", "list"))[1]
    assert row[:4] == ["ann", "*=viewer,north=admin", "enabled", "no"]
    shown = await shell.run("user", "totp", "ann")
    assert "otpauth://totp/edgesync:ann?" in shown.stdout
    await shell.run("user", "totp", "ann", "--remove")
    await shell.run("user", "grant", "ann", "--grant", "*=admin")
    async with caller(shell.world.url) as browser:
        body = {"name": "ann", "password": PASSWORD}
        answer = await browser.post("/login/local", json=body, headers=own_page(shell.world))
        assert answer.status_code == 200
        (row,) = (await shell.lines("session", "list"))[1:]
        assert row[1:3] == ["local:ann", "browser"]
        await shell.run("session", "end", row[0])
        assert (await browser.get("/v1/whoami")).status_code == 401
        await shell.run("user", "password", "ann", stdin="another long one\nanother long one\n")
        await shell.run("user", "disable", "ann")
        assert (await shell.lines("user", "list"))[1][1:3] == ["*=admin", "disabled"]
        await shell.run("user", "enable", "ann")
        body["password"] = "another long one"
        for _ in range(2):
            await browser.post("/login/local", json=body, headers=own_page(shell.world))
        rows = (await shell.lines("session", "list"))[1:]
        assert len(rows) == 2
        await shell.run("session", "end", rows[0][0], "--all")
        assert len(await shell.lines("session", "list")) == 1
    await shell.run("user", "delete", "ann")
    await shell.run("user", "delete", "ann", code=1)


@pytest.mark.parametrize("grant", ["*", "*=", "=admin", "admin"])
async def test_a_grant_that_is_none_is_named(shell: Shell, grant: str) -> None:
    refused = await shell.run("user", "create", "ann", "--grant", grant, code=2)
    assert "NAMESPACE=ROLE" in refused.stderr
