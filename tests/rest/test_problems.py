"""Errors in the form of RFC 9457, for callers who ask for it."""

import pytest

from cloud.http.negotiation import prefers_problem
from tests.rest.conftest import REQUEST_ID, ApiCaller, World, caller

PROBLEM = "application/problem+json"


@pytest.mark.parametrize(
    ("accept", "is_problem"),
    [
        ([], False),
        ([""], False),
        (["*/*"], False),
        (["application/*"], False),
        (["application/json"], False),
        ([PROBLEM], True),
        (["Application/Problem+JSON ; charset=utf-8"], True),
        ([f"application/json, {PROBLEM}"], True),
        (["application/json", PROBLEM], True),
        ([f"{PROBLEM}, */*"], True),
        ([f"{PROBLEM};q=0.5, application/json"], False),
        ([f"{PROBLEM};q=0.5, application/json;q=0.4"], True),
        ([f"{PROBLEM};q=0.5, */*;q=0.8"], False),
        ([f"{PROBLEM};q=0.5, application/json;q=0.1, */*"], True),
        ([f"{PROBLEM};q=0"], False),
        ([f"{PROBLEM};Q=0.0"], False),
        ([f"{PROBLEM};q=nonsense"], True),
        (["\xe4;;;,,;q=,=" + PROBLEM], False),
    ],
)
def test_who_names_the_form_and_wants_it_gets_it(accept: list[str], *, is_problem: bool) -> None:
    assert prefers_problem(accept) is is_problem


@pytest.mark.parametrize(
    ("method", "path", "status", "code", "title"),
    [
        ("GET", "/v1/nodes/missing", 404, "ResourceNotFound", "Not Found"),
        ("GET", "/v1/nothing", 404, "RequestMethodNotFound", "Not Found"),
        ("GET", "/v1/nodes?limit=x", 400, "RequestParamInvalid", "Bad Request"),
        ("PATCH", "/v1/nodes/missing", 415, "UnsupportedMediaType", "Unsupported Media Type"),
    ],
)
async def test_a_problem_has_the_content_of_an_error(
    client: ApiCaller, method: str, path: str, status: int, code: str, title: str
) -> None:
    plain = await client.http.request(method, path, headers={"Content-Type": "text/plain"})
    problem = await client.http.request(
        method, path, headers={"Content-Type": "text/plain", "Accept": PROBLEM}
    )
    assert plain.status_code == problem.status_code == status
    assert plain.headers["content-type"] == "application/json"
    assert problem.headers["content-type"] == PROBLEM
    assert plain.headers["vary"] == problem.headers["vary"] == "Accept"
    assert problem.headers["x-bce-request-id"] == REQUEST_ID
    members = plain.json()
    assert members.get("field") == {400: "limit", 415: "Content-Type"}.get(status)
    assert problem.json() == {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": members.pop("message"),
        **members,
    }
    assert (members["code"], members["request-id"]) == (code, REQUEST_ID)


async def test_unauthenticated_requests_get_problems_of_the_same_form(world: World) -> None:
    async with caller(world.url, {"Accept": PROBLEM}) as stranger:
        response = await stranger.get("/v1/nodes")
    assert (response.status_code, response.headers["content-type"]) == (401, PROBLEM)
    assert response.json()["code"] == "RequestAccessDenied"
    assert response.headers["www-authenticate"] == "Bearer"


async def test_an_answer_that_is_no_error_stays_json(client: ApiCaller) -> None:
    response = await client.saying(Accept=PROBLEM).send("GET", "/v1/nodes")
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
