"""Many records at once, over HTTP."""

import pytest

from tests.rest.conftest import ApiCaller

BATCH = {"name": "b", "quotaNum": 5}


async def test_generated_records_are_downloaded_one_fingerprint_a_line(client: ApiCaller) -> None:
    await client.call("POST", "/v1/register", BATCH)
    made = await client.call("POST", "/v1/register/b/generate", {"num": 3})
    assert (made["total"], len(set(made["items"]))) == (3, 3)
    response = await client.send("GET", "/v1/register/b/download")
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/octet-stream"
    assert response.text == "".join(f"{fingerprint}\n" for fingerprint in made["items"])
    listed = await client.call("GET", "/v1/register/b/record")
    assert {record["fingerprintValue"] for record in listed["items"]} == set(made["items"])
    assert {record["nodeName"] for record in listed["items"]} == set(made["items"])
    await client.refused(
        "POST", "/v1/register/b/generate", {"num": 3}, status=400, code="RegisterQuotaNumOut"
    )
    assert (await client.call("GET", "/v1/register/b/record"))["total"] == 3


@pytest.mark.parametrize("body", [{}, {"num": 0}, {"num": "1"}, {"num": 1, "n": 1}, {"num": None}])
async def test_a_number_that_is_none_is_refused(client: ApiCaller, body: object) -> None:
    await client.call("POST", "/v1/register", BATCH)
    message = await client.refused(
        "POST", "/v1/register/b/generate", body, status=400, code="RequestParamInvalid"
    )
    assert "(n" in message


async def test_an_unknown_batch_is_an_error_like_others(client: ApiCaller) -> None:
    for method, path in (("POST", "generate"), ("GET", "download")):
        body = {"num": 1} if method == "POST" else None
        message = await client.refused(
            method, f"/v1/register/0513021/{path}", body, status=404, code="ResourceNotFound"
        )
        assert message == "The (batch) resource (0513021) is not found."


@pytest.mark.parametrize("path", ["/v1/nodes/n", "/v1/register/b"])
async def test_every_command_holds_a_new_token_and_is_not_to_be_kept(
    client: ApiCaller, path: str
) -> None:
    await client.refused("GET", f"{path}/init", status=404, code="ResourceNotFound")
    await client.call("POST", "/v1/nodes", {"name": "n"})
    await client.call("POST", "/v1/register", BATCH)
    commands = set()
    for _ in range(3):
        response = await client.send("GET", f"{path}/init")
        assert response.headers["cache-control"] == "no-store"
        commands.add(response.json()["cmd"])
    assert len(commands) == 3
    other = client.within("other")
    await other.refused("GET", f"{path}/init", status=404, code="ResourceNotFound")
