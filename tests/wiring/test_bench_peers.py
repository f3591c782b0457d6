"""The benchmark beside baetyl-cloud, against the far side of its calls: its nodes and its link."""

import asyncio
import json
from dataclasses import dataclass, field

import click
import pytest
from click.testing import CliRunner, Result
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from edgesync.bench.peers import command
from tests.serving import serving


@dataclass
class FarSide:
    """Takes nodes by the API and reports over a link without TLS, as baetyl-cloud does."""

    answers_reports: bool = True
    nodes: set[str] = field(default_factory=set)
    deleted: set[str] = field(default_factory=set)
    reporters: set[str] = field(default_factory=set)

    @property
    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/v1/nodes", self._create, methods=["POST"]),
                Route("/v1/nodes/{name}", self._delete, methods=["DELETE"]),
                Route("/v1/sync/report", self._report, methods=["POST"]),
            ]
        )

    async def _create(self, request: Request) -> Response:
        body = await request.json()
        self.nodes.add(body["name"])
        return JSONResponse(body)

    def _delete(self, request: Request) -> Response:
        self.deleted.add(request.path_params["name"])
        return JSONResponse({"success": True})

    async def _report(self, request: Request) -> Response:
        namespace, _, name = request.headers["common-name"].partition(".")
        assert (namespace, name in self.nodes) == ("baetyl-cloud", True)
        assert (await request.json())["sysappstats"]
        self.reporters.add(name)
        if not self.answers_reports:
            return JSONResponse({"code": "ErrNodeNotReady"}, 400)
        return JSONResponse({})


async def run(url: str, *options: str) -> Result:
    words = ("--baetyl-cloud", url, "--link", url, "--seconds", "0.2", *options)
    return await asyncio.to_thread(CliRunner().invoke, command, words, catch_exceptions=False)


@pytest.mark.slow  # starts a server
async def test_both_servers_take_the_same_reports() -> None:
    far = FarSide()
    async with serving(far.app) as url:
        result = await run(url, "--connections", "1", "--connections", "3", "--json")
    assert result.exit_code == 0, result.output
    figures = json.loads(result.output)["figures"]
    assert [(one["server"], one["connections"]) for one in figures] == [
        ("edgesync", 1),
        ("baetyl-cloud", 1),
        ("edgesync", 3),
        ("baetyl-cloud", 3),
    ]
    assert all(one["reports_per_second"] > 0 for one in figures)
    assert far.reporters == far.nodes == far.deleted
    assert len(far.nodes) == 3


async def test_a_refused_report_is_named_and_nothing_is_left() -> None:
    far = FarSide(answers_reports=False)
    async with serving(far.app) as url:
        result = await run(url, "--connections", "2")
    assert result.exit_code == click.ClickException.exit_code
    assert "400" in result.output
    assert "ErrNodeNotReady" in result.output
    assert far.deleted == far.nodes != set()
