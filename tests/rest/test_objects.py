"""What is particular to configs with objects."""

import logging
import sqlite3
from pathlib import Path

import pytest

from tests.rest.conftest import ApiCaller, World

OBJECT = {
    "type": "object",
    "source": "minio",
    "endpoint": "http://s3.example.com",
    "bucket": "box",
    "object": "f.zip",
    "ak": "id of the key",
    "sk": "open sesame",
}
CONFIG = {"name": "code", "data": [{"key": "f.zip", "value": OBJECT}]}


async def test_no_answer_and_no_log_shows_a_secret_key(
    client: ApiCaller, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    bad = {"name": "bad", "data": [{"key": "f", "value": {**OBJECT, "bucket": ""}}]}
    for method, path, body in (
        ("POST", "/v1/configs", CONFIG),
        ("POST", "/v1/configs", CONFIG),
        ("POST", "/v1/configs", bad),
        ("PUT", "/v1/configs/code", {**CONFIG, "description": "x"}),
        ("GET", "/v1/configs/code", None),
        ("GET", "/v1/configs", None),
    ):
        response = await client.send(method, path, body)
        assert "sesame" not in response.text, path
    assert "sesame" not in caplog.text
    listed = await client.send("GET", "/v1/configs")
    assert "id of the key" not in listed.text


async def test_what_was_read_can_be_put_back_and_keeps_the_key(client: ApiCaller) -> None:
    created = await client.call("POST", "/v1/configs", CONFIG)
    assert created["data"][0]["value"]["sk"] == "********"
    assert await client.call("PUT", "/v1/configs/code", created) == created
    renamed = {**created, "data": [{**created["data"][0], "key": "other"}]}
    message = await client.refused(
        "PUT", "/v1/configs/code", renamed, status=400, code="RequestParamInvalid"
    )
    assert "data[0].value.sk" in message


async def test_no_key_lies_open_in_the_database(client: ApiCaller, tmp_path: Path) -> None:
    await client.call("POST", "/v1/configs", CONFIG)
    for name in ("edgesync.db", "edgesync.db-wal"):
        content = (tmp_path / name).read_bytes()
        assert b"sesame" not in content
        assert b"id of the key" not in content


async def test_a_config_of_an_older_version_is_still_read(
    client: ApiCaller, tmp_path: Path
) -> None:
    await client.call("POST", "/v1/configs", {"name": "old"})
    plain = '{"data":[{"key":"a","value":{"type":"kv","value":"1"}}]}'
    with sqlite3.connect(tmp_path / "edgesync.db") as connection:
        connection.execute("UPDATE resource SET document = ? WHERE kind = 'config'", (plain,))
    connection.close()
    old = await client.call("GET", "/v1/configs/old")
    assert old["data"] == [{"key": "a", "value": {"type": "kv", "value": "1"}}]
    await client.call("PUT", "/v1/configs/old", {**old, "description": "x"})
    assert (await client.call("GET", "/v1/configs/old"))["data"] == old["data"]


@pytest.mark.parametrize("world", [False], indirect=True)
async def test_a_server_that_cannot_sign_takes_no_keys(world: World) -> None:
    for method, path in (("POST", "/v1/configs"), ("PUT", "/v1/configs/code")):
        message = await world.client.refused(
            method, path, CONFIG, status=400, code="RequestParamInvalid"
        )
        assert "data[0].value.ak" in message
        assert "edgesync[objects]" in message
    open_to_all = {key: value for key, value in OBJECT.items() if key not in {"ak", "sk"}}
    plain = {"name": "plain", "data": [{"key": "f.zip", "value": open_to_all}]}
    await world.client.call("POST", "/v1/configs", plain)
