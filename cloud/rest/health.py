"""Health of the server, for monitoring; no token needed."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from cloud.errors import Unavailable
from cloud.http.answers import json_response
from cloud.http.routing import CheckedRoute

logger = logging.getLogger(__name__)

Check = Callable[[], Awaitable[object]]
"""Raises if something is not well."""

Report = Callable[[], object]
"""The result of a check that does not affect readiness, in JSON."""

CHECK_SECONDS = 5
"""How long a check may take; longer is not well."""


def health_routes(
    checks: Mapping[str, Check], *, version: str, reports: Mapping[str, Report] = {}
) -> list[Route]:
    """`/health` and `/livez` (the process answers), `/readyz` (all *checks* pass), `/version`.

    `/readyz?verbose` states how long each check took, and what *reports* found.
    """

    async def alive(_: Request) -> Response:
        return json_response({"success": True})

    async def ready(request: Request) -> Response:
        found = {name: await _result(name, check) for name, check in checks.items()}
        well = all(result == "ok" for result, _ in found.values())
        answer: dict[str, object] = {
            "success": well,
            "checks": {name: result for name, (result, _) in found.items()},
        }
        if "verbose" in request.query_params:
            answer["seconds"] = {name: round(seconds, 3) for name, (_, seconds) in found.items()}
            answer["reports"] = {name: report() for name, report in reports.items()}
        return json_response(answer, status=200 if well else 503)

    async def tell_version(_: Request) -> Response:
        return json_response({"version": version})

    return [
        CheckedRoute("/health", alive),
        CheckedRoute("/livez", alive),
        CheckedRoute("/readyz", ready, known=("verbose",)),
        CheckedRoute("/version", tell_version),
    ]


async def _result(name: str, check: Check) -> tuple[str, float]:
    """`ok` or `failed`, and how many seconds it took to know; why it failed is in the log."""
    began, result = time.monotonic(), "failed"
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            await check()
        result = "ok"
    except Unavailable as error:
        logger.warning("check %s failed: %s", name, error.reason)
    except TimeoutError:
        logger.warning("check %s failed: no answer in %d seconds", name, CHECK_SECONDS)
    except Exception:
        logger.warning("check %s failed", name, exc_info=True)
    return result, time.monotonic() - began
