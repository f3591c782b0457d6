"""Signing in with a real identity provider, in a process of its own, and attacks on it."""

import contextlib
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from tests.deadlines import UNIT
from tests.end_to_end.conftest import wait_for
from tests.identity_provider import SignInServer, sign_in_server
from tests.preloaded import run_edgesync


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SignInServer]:
    with sign_in_server(tmp_path_factory.mktemp("sign-in")) as world:
        yield world


def test_a_user_signs_in_and_out(world: SignInServer) -> None:
    with world.browser() as browser:
        assert world.sign_in(browser, "ann") == "/"
        who = browser.get("/v1/whoami").json()
        assert (who["kind"], who["name"]) == ("user", "company:ann@example.com")
        assert who["grants"] == {"*": "admin", "north": "viewer"}
        assert browser.get("/session").json()["role"] == "admin"
        own = {"X-Edgesync-CSRF": "1", "Origin": world.server.api}
        made = browser.post("/v1/nodes", json={"name": "gate"}, headers=own)
        assert made.status_code == 200
        audit = browser.get("/v1/audit?action=node.create").json()["items"]
        assert audit[0]["actor"]["name"] == "company:ann@example.com"
        kept = dict(browser.cookies)
        assert browser.delete("/session", headers=own).status_code == 200
    # The cookie that the browser dropped opens nothing any more.
    with world.browser() as thief:
        thief.cookies.update(kept)
        assert thief.get("/v1/whoami").status_code == 401


def test_a_role_is_that_of_the_namespace(world: SignInServer) -> None:
    with world.browser() as browser:
        world.sign_in(browser, "bob")
        assert browser.get("/v1/nodes").status_code == 200
        assert browser.get("/v1/nodes").json()["total"] == 0
        for namespace, status in (("north", 200), ("default", 403), ("*", 403)):
            answer = browser.get("/v1/nodes", headers={"X-Edgesync-Namespace": namespace})
            assert answer.status_code == status, namespace
        own = {"X-Edgesync-CSRF": "1", "Origin": world.server.api}
        refused = browser.post("/v1/nodes", json={"name": "till"}, headers=own)
        assert refused.status_code == 403
        assert "the user has the role viewer" in refused.json()["message"]
        assert browser.get("/v1/audit?namespace=*").status_code == 403


def test_sessions_are_listed_and_ended(world: SignInServer) -> None:
    with world.browser() as one, world.browser() as two, world.browser() as bob:
        for browser, user in ((one, "ann"), (two, "ann"), (bob, "bob")):
            world.sign_in(browser, user)
        of_bob = bob.get("/v1/sessions").json()["items"]
        assert {item["user"] for item in of_bob} == {"company:bob@example.com"}
        (own,) = (item for item in of_bob if item["current"])
        mark = {"X-Edgesync-CSRF": "1", "Origin": world.server.api}
        listed = one.get("/v1/sessions").json()["items"]
        of_ann = [item["id"] for item in listed if item["user"] == "company:ann@example.com"]
        assert own["id"] in [item["id"] for item in listed]
        # Of another user there is no session, for who is not the administrator.
        assert bob.delete(f"/v1/sessions/{of_ann[0]}", headers=mark).status_code == 404
        mine = one.get("/v1/whoami").json()["session"]
        second = two.get("/v1/whoami").json()["session"]
        assert {mine, second} <= set(of_ann)
        assert one.delete(f"/v1/sessions/{second}", headers=mark).status_code == 200
        assert two.get("/v1/whoami").status_code == 401
        assert one.delete(f"/v1/sessions/{own['id']}?all=true", headers=mark).status_code == 200
        assert bob.get("/v1/whoami").status_code == 401
        assert one.get("/v1/whoami").status_code == 200


def test_who_no_rule_is_for_has_no_session(world: SignInServer) -> None:
    with world.browser() as browser:
        assert world.sign_in(browser, "eve") == "/?signIn=refused"
        assert browser.get("/v1/whoami").status_code == 401
    with world.server.client() as admin:
        wait_for(
            lambda: (
                "no access rule of company"
                in admin.get("/v1/audit?action=session.create&namespace=*").text
            ),
            "the refusal to be in the audit log",
        )


def test_a_response_without_the_sign_in_of_this_browser_is_refused(world: SignInServer) -> None:
    with world.browser() as victim, world.browser() as attacker:
        # The attacker's own code, in the victim's browser: with and without a sign-in begun there.
        back = world.approve(world.begin(attacker), "ann")
        assert victim.get(back).headers["location"] == "/?signIn=refused"
        world.begin(victim)
        assert victim.get(back).headers["location"] == "/?signIn=refused"
        assert victim.get("/v1/whoami").status_code == 401
        # A forged state, a response of another provider, and one from another issuer.
        for name, value in (
            ("state", "forged"),
            ("state", ""),
            ("iss", "https://id.attacker.example"),
            ("code", ""),
            ("error", "access_denied"),
        ):
            good = httpx.URL(world.approve(world.begin(attacker), "ann"))
            changed = good.copy_set_param(name, value)
            assert attacker.get(changed).headers["location"] == "/?signIn=refused", name
        good = httpx.URL(world.approve(world.begin(attacker), "ann"))
        elsewhere = good.copy_with(path="/login/other/callback")
        assert attacker.get(elsewhere).headers["location"] == "/?signIn=refused"
        assert attacker.get("/v1/whoami").status_code == 401


def test_a_code_works_once(world: SignInServer) -> None:
    with world.browser() as browser, world.browser() as thief:
        back = world.approve(world.begin(browser), "ann")
        cookies = dict(browser.cookies)
        assert browser.get(back).headers["location"] == "/"
        # With all that the browser had: the sign-in's cookie as well.
        thief.cookies.update(cookies)
        assert thief.get(back).headers["location"] == "/?signIn=refused"


def test_the_sign_in_uses_what_the_standards_ask_for(world: SignInServer) -> None:
    with world.browser() as browser:
        first, second = (parse_qs(urlsplit(world.begin(browser)).query) for _ in range(2))
        assert first["code_challenge_method"] == ["S256"]
        for field in ("state", "nonce", "code_challenge"):
            assert first[field] != second[field]
            assert len(first[field][0]) >= 43
        answer = browser.get("/login/company")
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Lax" in cookie
        assert answer.headers["cache-control"] == "no-store"
        assert browser.get("/login/nowhere").status_code == 404
        shown = browser.get("/login").json()["providers"]
        assert [one["name"] for one in shown] == ["company", "other"]


def test_a_token_is_exchanged_for_a_session(world: SignInServer) -> None:
    exchange = "urn:ietf:params:oauth:grant-type:token-exchange"
    form = {
        "grant_type": exchange,
        "subject_token_type": "urn:ietf:params:oauth:token-type:id_token",
    }
    with world.browser() as browser:
        sent = {**form, "subject_token": world.id_token("other")}
        got = browser.post("/login/token", data=sent).json()
        # A token for another client, of a provider whose tokens are not exchanged.
        sent = {**form, "subject_token": world.id_token("edgesync")}
        assert browser.post("/login/token", data=sent).status_code == 401
        assert (got["token_type"], got["expires_in"]) == ("Bearer", 3600)
        bearer = {"Authorization": f"Bearer {got['access_token']}"}
        assert browser.get("/v1/whoami", headers=bearer).json()["name"] == "other:ann@example.com"
        for wrong, status in (
            ({}, 400),
            ({**form}, 400),
            ({**form, "grant_type": "password", "subject_token": "x"}, 400),
            ({**form, "subject_token": "x"}, 401),
            ({**form, "subject_token": got["access_token"]}, 401),
        ):
            assert browser.post("/login/token", data=wrong).status_code == status, wrong


@contextlib.contextmanager
def logging_in(
    world: SignInServer, folder: Path, *way: str, **variables: str
) -> Iterator[tuple["subprocess.Popen[str]", dict[str, str]]]:
    """A terminal that logs in, and the environment of other commands with the same contexts."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("EDGESYNC_")}
    environment |= {"EDGESYNC_CONTEXTS": str(folder / "contexts.yaml"), "BROWSER": "true"}
    terminal, stdin = pty.openpty()
    command = [sys.executable, "-m", "edgesync", "login", world.server.api, *way]
    process = subprocess.Popen(
        command,
        env={**environment, **variables},
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process, environment
    finally:
        process.kill()
        process.communicate(timeout=10 * UNIT)
        os.close(stdin)
        os.close(terminal)


def check_logged_in(
    world: SignInServer,
    process: "subprocess.Popen[str]",
    environment: dict[str, str],
    *,
    is_logged_out: bool,
) -> None:
    """The command line acts for the user, until it logs out, or the user's sessions are ended."""
    output, errors = process.communicate(timeout=20 * UNIT)
    assert process.returncode == 0, errors
    assert "Logged in to" in output
    assert "eus_" not in output + errors
    listed = run_edgesync("session", "list", environment=environment)
    assert listed.returncode == 0, listed.stderr
    (own,) = [line.split() for line in listed.stdout.splitlines() if line.startswith("*")]
    assert own[2:4] == ["company:ann@example.com", "cli"]
    with world.server.client() as admin:
        if is_logged_out:
            ended = run_edgesync("logout", environment=environment)
            assert ended.returncode == 0, ended.stderr
            assert own[1] not in admin.get("/v1/sessions?limit=500").text
        else:
            assert admin.delete(f"/v1/sessions/{own[1]}?all=true").status_code == 200
    refused = run_edgesync("get", "nodes", environment=environment)
    assert refused.returncode != 0
    assert "edgesync login" in refused.stderr


def test_a_shell_without_a_browser_logs_in_with_a_code(world: SignInServer, tmp_path: Path) -> None:
    mark = {"X-Edgesync-CSRF": "1", "Origin": world.server.api}
    with (
        world.browser() as browser,
        logging_in(world, tmp_path, SSH_CONNECTION="from afar") as (process, environment),
    ):
        world.sign_in(browser, "ann")
        assert process.stderr is not None
        code = process.stderr.readline().split()[-1]
        assert process.stderr.readline().split()[2].endswith(f"/device?user_code={code}")
        shown = browser.get(f"/login/approval?code={code}").json()
        assert shown["code"] == code
        body = {"code": code, "approve": True}
        assert browser.post("/login/approval", json=body, headers=mark).status_code == 200
        check_logged_in(world, process, environment, is_logged_out=False)


def test_a_shell_logs_in_with_the_browser_of_its_machine(
    world: SignInServer, tmp_path: Path
) -> None:
    mark = {"X-Edgesync-CSRF": "1", "Origin": world.server.api}
    with (
        world.browser() as browser,
        logging_in(world, tmp_path, "--browser") as (process, environment),
    ):
        world.sign_in(browser, "ann")
        assert process.stderr is not None
        process.stderr.readline()
        place = process.stderr.readline().strip()
        sealed = browser.get(place).headers["location"].removeprefix("/#/login?request=")
        body = {"request": sealed, "approve": True}
        answer = browser.post("/login/approval", json=body, headers=mark)
        back = httpx.URL(answer.json()["location"])
        # A page that knows the port and not the state is not waited for.
        forged = back.copy_set_param("state", "forged").copy_set_param("code", "of-another")
        assert httpx.get(forged, trust_env=False).status_code == 404
        assert httpx.get(back, trust_env=False).status_code == 200
        check_logged_in(world, process, environment, is_logged_out=True)


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ("providers: [{name: a}]", "providers[0].issuer: missing"),
        ("providers: []\nmore: 1", "more"),
        ("[", "line 2, column 1"),
    ],
)
def test_a_file_that_is_wrong_prevents_the_start(tmp_path: Path, content: str, error: str) -> None:
    file = tmp_path / "login.yaml"
    file.write_text(content)
    command = ["serve", "--data-dir", str(tmp_path / "data"), "--login-file", str(file)]
    command += ["--api-port", "0", "--activation-port", "0", "--mqtt-port", "0", "--sync-port", "0"]
    ended = run_edgesync(*command)
    assert ended.returncode != 0
    assert f"login_file: {file}" in ended.stderr
    assert error in ended.stderr
