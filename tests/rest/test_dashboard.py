"""The files of the dashboard, as a browser asks for them."""

import re
import tomllib
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

import httpx
import pytest

from tests.plain_http import NO_TLS
from tests.repo.tracked import ROOT
from tests.rest.conftest import World, caller

STATIC = resources.files("cloud.rest.dashboard") / "static"


def names(directory: Traversable = STATIC, prefix: str = "") -> list[str]:
    found = []
    for entry in directory.iterdir():
        path = f"{prefix}{entry.name}"
        found += names(entry, f"{path}/") if entry.is_dir() else [path]
    return found


async def test_every_file_is_served_once_and_known_from_then_on(world: World) -> None:
    async with caller(world.url) as browser:
        for name in names():
            answer = await browser.get(f"/dashboard/{name}")
            assert answer.content == (STATIC / name).read_bytes()
            assert answer.headers["cache-control"] == "no-cache"
            head = await browser.head(f"/dashboard/{name}")
            assert (head.status_code, head.content) == (200, b"")
            assert head.headers["etag"] == answer.headers["etag"]
            known = {"If-None-Match": answer.headers["etag"]}
            again = await browser.get(f"/dashboard/{name}", headers=known)
            assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/dashboard/app.js", "text/javascript; charset=utf-8"),
        ("/dashboard/dashboard.css", "text/css; charset=utf-8"),
        ("/dashboard/icon.svg", "image/svg+xml"),
    ],
)
async def test_a_file_is_called_what_it_is(world: World, path: str, media_type: str) -> None:
    async with caller(world.url) as browser:
        assert (await browser.get(path)).headers["content-type"] == media_type


async def test_the_page_may_run_and_fetch_what_is_the_servers_own_alone(world: World) -> None:
    async with caller(world.url) as browser:
        for path in ("/", "/dashboard/app.js"):
            policy = (await browser.get(path)).headers["content-security-policy"].split("; ")
            assert {"default-src 'none'", "script-src 'self'", "style-src 'self'"} <= set(policy)
            assert {"base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"} <= set(
                policy
            )
            assert "unsafe" not in str(policy)


def test_nothing_is_written_that_the_policy_forbids() -> None:
    page = (STATIC / "index.html").read_text()
    assert not re.search(r"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son[a-z]+=", page)
    for name in names():
        text = (STATIC / name).read_text()
        if name.endswith(".js") and not name.startswith("vendor/"):
            assert not re.search(
                r"innerHTML|insertAdjacent|\beval\(|dangerously|new Function", text
            )
        # What libraries name in messages and namespaces is not loaded: the policy forbids it.
        if not name.endswith(".txt") and not name.startswith("vendor/"):
            links = set(re.findall(r"https?://[^\s\"'`)]+", text))
            assert all("w3.org" in link or "example.com" in link for link in links), name


def test_every_file_is_in_the_package_that_is_installed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    patterns = project["tool"]["setuptools"]["package-data"]["cloud.rest.dashboard"]
    left_out = [
        name for name in names() if not any(Path("static", name).match(one) for one in patterns)
    ]
    assert left_out == []


@pytest.mark.parametrize(
    "path",
    [
        "../served.py",
        "..%2fserved.py",
        "%2e%2e/__init__.py",
        "",
        "static/app.js",
        "app.js/",
        "A" * 999,
    ],
)
async def test_nothing_else_is_served(world: World, path: str) -> None:
    async with httpx.AsyncClient(base_url=world.url, verify=NO_TLS) as browser:
        answer = await browser.get(httpx.URL(f"{world.url}/dashboard/{path}"))
        assert answer.status_code == 404
