"""Whether the server is well, for whoever watches it; no token needed."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from cloud.http.answers import json_response

logger = logging.getLogger(__name__)

Check = Callable[[], Awaitable[object]]
"""Raises if something is not well."""

CHECK_SECONDS = 5
"""How long a check may take; longer is not well."""


def health_routes(checks: Mapping[str, Check], *, version: str) -> list[Route]:
    """`/health` and `/livez` (the process answers), `/readyz` (all *checks* pass), `/version`."""

    async def alive(_: Request) -> Response:
        return json_response({"success": True})

    async def ready(_: Request) -> Response:
        results = {name: await _result(name, check) for name, check in checks.items()}
        well = all(result == "ok" for result in results.values())
        return json_response({"success": well, "checks": results}, status=200 if well else 503)

    async def tell_version(_: Request) -> Response:
        return json_response({"version": version})

    return [
        Route("/health", alive),
        Route("/livez", alive),
        Route("/readyz", ready),
        Route("/version", tell_version),
    ]


async def _result(name: str, check: Check) -> str:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            await check()
    except Exception:
        logger.warning("check %s failed", name, exc_info=True)
        return "failed"
    return "ok"
