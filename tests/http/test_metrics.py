"""What is counted of requests, and the export of what is counted elsewhere."""

from collections.abc import Mapping

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from cloud.errors import NotFound
from cloud.http.app import http_app
from cloud.http.metrics import Metrics


async def one(request: Request) -> Response:
    name = request.path_params["name"]
    if name == "gone":
        raise NotFound("thing", name)
    if name == "broken":
        raise RuntimeError(name)
    return PlainTextResponse(name)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def client(metrics: Metrics) -> httpx.AsyncClient:
    routes = [Route("/things/{name}", one), Route("/things/{name}/", one)]
    app = http_app(routes, new_id=lambda: "id", metrics=metrics, listener="api")
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://here")


async def samples(metrics: Metrics) -> dict[tuple[str, ...], float]:
    """Every sample, by its name and the values of its labels."""
    text = bytes((await metrics.response()).body).decode()
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_requests_are_counted_by_their_route_and_not_by_what_callers_make_up(
    metrics: Metrics, client: httpx.AsyncClient
) -> None:
    for path in ("a", "b", "b/", "gone", "broken"):
        await client.get(f"/things/{path}")
    await client.get("/made/up")
    await client.post("/things/a")
    await client.request("BREW", "/made/up")
    found = await samples(metrics)
    name = "edgesync_http_requests_total"
    counted = {key[1:]: count for key, count in found.items() if key[0] == name}
    route = "/things/{name}"
    assert counted == {
        ("api", "GET", route, "2xx"): 3,
        ("api", "GET", route, "4xx"): 1,
        ("api", "GET", route, "5xx"): 1,
        ("api", "POST", route, "4xx"): 1,
        ("api", "GET", "", "4xx"): 1,
        ("api", "", "", "4xx"): 1,
    }
    assert found["edgesync_http_request_seconds_count", "api", route] == 6
    assert found["edgesync_http_request_seconds_count", "api", ""] == 2


async def test_a_value_counted_elsewhere_is_read_at_scrape_time(metrics: Metrics) -> None:
    reasons: dict[str, int] = {"late": 1}
    here = 7

    def waiting() -> Mapping[str, float]:
        return {"": here}

    metrics.add_counter("x_refused", "Refused.", lambda: reasons, label="reason")
    metrics.add_gauge("x_waiting", "Waiting.", waiting)
    reasons["loud"] = 2
    here = 8
    found = await samples(metrics)
    assert found["x_refused_total", "late"] == 1
    assert found["x_refused_total", "loud"] == 2
    assert found["x_waiting",] == 8


async def test_a_process_tells_what_it_takes(metrics: Metrics) -> None:
    metrics.add_process()
    found = await samples(metrics)
    assert found["process_resident_memory_bytes",] > 1e6
    assert found["process_cpu_seconds_total",] > 0


async def test_refusals_at_a_limit_are_counted_by_bound_wherever_they_are_kept(
    metrics: Metrics,
) -> None:
    metrics.limits.declare("head_bytes")
    metrics.limits.count("body_bytes", 2)
    metrics.limits.add_source(lambda: {"body_bytes": 3, "silent": 1})
    families = await samples(metrics)
    name = "edgesync_limits_refusals_total"
    counts = {key[1]: value for key, value in families.items() if key[0] == name}
    assert counts == {"head_bytes": 0, "body_bytes": 5, "silent": 1}
