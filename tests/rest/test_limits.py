"""Who asks too often, or too often without a token, over real connections."""

import ipaddress
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from cloud.core.rate import Rate
from cloud.http.limits import Limiter
from cloud.rest.authenticator import CallLimits
from tests.rest.conftest import TOKEN, World, caller, open_world

LOOPBACK = [ipaddress.ip_network("127.0.0.0/8")]
GOOD = {"Authorization": f"Bearer {TOKEN}"}
GUESS = {"Authorization": "Bearer a guess"}


@dataclass
class LimitTimer:
    seconds: float = 0.0

    def __call__(self) -> float:
        return self.seconds


@dataclass
class Limited:
    """A server that lets a caller ask five times and be denied three times, once a minute more."""

    world: World
    http: httpx.AsyncClient
    timer: LimitTimer

    async def status(self, path: str = "/v1/nodes", **headers: str) -> int:
        return (await self.http.get(path, headers=headers)).status_code

    async def guess(self, **headers: str) -> int:
        return await self.status(**GUESS, **headers)

    async def counted(self, bound: str) -> float:
        """Refusals that /metrics counts under that name."""
        text = (await self.http.get("/metrics", headers=GOOD)).text
        [line] = [line for line in text.splitlines() if f'bound="{bound}"' in line]
        return float(line.split()[-1])


@asynccontextmanager
async def open_limited(folder: Path, *, is_behind_proxy: bool) -> AsyncIterator[Limited]:
    timer = LimitTimer()
    limits = CallLimits(
        Limiter(Rate(5, 1 / 60), timer, "requests"), Limiter(Rate(3, 1 / 60), timer, "denials")
    )
    proxies = LOOPBACK if is_behind_proxy else []
    async with (
        open_world(folder, limits=limits, trusted_proxies=proxies) as world,
        caller(world.url) as http,
    ):
        yield Limited(world, http, timer)


@pytest.fixture
async def limited(tmp_path: Path) -> AsyncIterator[Limited]:
    async with open_limited(tmp_path, is_behind_proxy=False) as limited:
        yield limited


@pytest.fixture
async def proxied(tmp_path: Path) -> AsyncIterator[Limited]:
    async with open_limited(tmp_path, is_behind_proxy=True) as limited:
        yield limited


async def test_guesses_are_answered_three_times_then_no_more(limited: Limited) -> None:
    assert [await limited.guess() for _ in range(5)] == [401] * 3 + [429] * 2
    assert await limited.status() == 429  # none at all is no better than a wrong one
    limited.timer.seconds += 60
    assert [await limited.guess() for _ in range(2)] == [401, 429]
    assert await limited.counted("denials") == 4


async def test_requests_beyond_the_rate_are_counted(limited: Limited) -> None:
    assert [await limited.status(**GOOD) for _ in range(7)] == [200] * 5 + [429] * 2
    limited.timer.seconds += 60
    assert await limited.counted("requests") == 2


async def test_a_valid_token_is_admitted_from_an_address_with_failed_attempts(
    limited: Limited,
) -> None:
    answer = await limited.http.post(
        "/v1/tokens", headers=GOOD, json={"name": "ci", "role": "viewer"}
    )
    assert [await limited.guess() for _ in range(4)][-1] == 429
    assert await limited.status(**GOOD) == 200
    assert await limited.status(Authorization=f"Bearer {answer.json()['token']}") == 200


async def test_the_answer_has_retry_after(limited: Limited) -> None:
    for _ in range(3):
        await limited.guess()
    limited.timer.seconds += 0.5
    answer = await limited.http.get("/v1/nodes", headers=GUESS)
    assert answer.headers["retry-after"] == "60"
    assert answer.json()["code"] == "TooManyRequests"
    assert set(answer.json()) == {"code", "message", "request-id"}
    problem = await limited.http.get(
        "/v1/nodes", headers={**GUESS, "Accept": "application/problem+json"}
    )
    assert problem.headers["retry-after"] == "60"
    assert problem.headers["content-type"] == "application/problem+json"
    assert (problem.json()["status"], problem.json()["code"]) == (429, "TooManyRequests")


async def test_one_token_may_ask_five_times_and_another_as_often(limited: Limited) -> None:
    answer = await limited.http.post(
        "/v1/tokens", headers=GOOD, json={"name": "ci", "role": "viewer"}
    )
    other = {"Authorization": f"Bearer {answer.json()['token']}"}
    assert [await limited.status(**GOOD) for _ in range(5)] == [200] * 4 + [429]
    assert [await limited.status(**other) for _ in range(6)] == [200] * 5 + [429]
    limited.timer.seconds += 60
    assert [await limited.status(**GOOD) for _ in range(2)] == [200, 429]


async def test_one_address_may_ask_five_times_without_a_token(limited: Limited) -> None:
    paths = ["/health", "/livez", "/docs", "/openapi.json", "/nothing", "/health"]
    assert [await limited.status(path) for path in paths] == [200] * 4 + [404, 429]
    assert await limited.status(**GOOD) == 200


async def test_a_forged_address_is_of_no_use(limited: Limited) -> None:
    forged = [{"X-Forwarded-For": f"198.51.100.{number}"} for number in range(5)]
    assert [await limited.guess(**header) for header in forged] == [401] * 3 + [429] * 2


async def test_behind_a_proxy_each_caller_is_counted_alone(proxied: Limited) -> None:
    one, other = {"X-Forwarded-For": "198.51.100.1"}, {"X-Forwarded-For": "198.51.100.2"}
    assert [await proxied.guess(**one) for _ in range(4)] == [401] * 3 + [429]
    assert await proxied.guess(**other) == 401
    invented = [{"X-Forwarded-For": f"203.0.113.{n}, 198.51.100.1"} for n in range(3)]
    assert [await proxied.guess(**header) for header in invented] == [429] * 3


async def test_behind_a_proxy_one_ipv6_network_is_one_caller(proxied: Limited) -> None:
    near = [{"X-Forwarded-For": f"2001:db8:1:2::{number:x}"} for number in range(4)]
    assert [await proxied.guess(**header) for header in near] == [401] * 3 + [429]
    assert await proxied.guess(**{"X-Forwarded-For": "2001:db8:1:3::1"}) == 401
