"""A node downloads an object from a store that checks signatures.

The same on a real store where `versitygw` is on PATH:
`go install github.com/versity/versitygw/cmd/versitygw@v1.8.0`.
"""

import hashlib
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from broker.messages import Message
from broker.topics import Channel
from cloud.core.config import ConfigSpec
from cloud.core.decoding import convert
from cloud.core.objects import Unsigned
from cloud.link.exchange import Exchange
from cloud.link.inbox import NodeInbox
from cloud.link.presigning import presigner
from cloud.operations.configs import update_config
from cloud.store.transaction import Store
from tests.deadlines import UNIT
from tests.link.conftest import NOW, FakeHub, describe
from tests.link.object_server import may_get, object_server
from tests.ports import free_port

ACCESS_KEY, SECRET_KEY = "test-access", "test-secret"
OBJECT = "box/dir/a b+ä.zip"
PATH = "box/dir/a%20b%2B%C3%A4.zip"
CONTENT = b"the code of a function"
DEADLINE_SECONDS = 20 * UNIT


def put_signed(url: str, content: bytes) -> None:
    """Put something into a store that is not there yet, or still starting."""
    end = time.monotonic() + DEADLINE_SECONDS
    while True:
        request = AWSRequest("PUT", url, data=content)
        request.headers["X-Amz-Content-SHA256"] = hashlib.sha256(content).hexdigest()
        S3SigV4Auth(Credentials(ACCESS_KEY, SECRET_KEY), "s3", "us-east-1").add_auth(request)
        try:
            response = httpx.put(url, content=content, headers=dict(request.headers))
        except httpx.TransportError:
            assert time.monotonic() < end, "the store does not start"
            continue
        assert response.status_code == 200, response.text
        return


@pytest.fixture(params=["described", "versitygw"])
def endpoint(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "described":
        with object_server({ACCESS_KEY: SECRET_KEY}, {OBJECT: CONTENT}) as url:
            yield url
        return
    binary = shutil.which("versitygw")
    if binary is None:
        pytest.skip("versitygw is not on PATH")
    (tmp_path / "objects").mkdir()
    address = f"127.0.0.1:{free_port()}"
    command = [binary, "--access", ACCESS_KEY, "--secret", SECRET_KEY, "--port", address]
    with subprocess.Popen(
        [*command, "posix", str(tmp_path / "objects")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            put_signed(f"http://{address}/box", b"")
            put_signed(f"http://{address}/{PATH}", CONTENT)
            yield f"http://{address}"
        finally:
            process.terminate()


def signed(endpoint: str, *, secret: str = SECRET_KEY, lifetime: float = 60) -> str:
    presign = presigner(timedelta(seconds=lifetime))
    return presign(Unsigned(f"{endpoint}/{PATH}", "us-east-1", ACCESS_KEY, secret))


def status_of(url: str) -> int:
    return httpx.get(url).status_code


def test_a_signed_url_opens_one_object(endpoint: str) -> None:
    assert httpx.get(signed(endpoint)).content == CONTENT


def test_a_url_that_was_changed_opens_nothing(endpoint: str) -> None:
    url = signed(endpoint)
    last = "1" if url.endswith("0") else "0"
    for changed in (
        url.replace("a%20b", "another"),
        url.replace("X-Amz-Expires=60", "X-Amz-Expires=6000"),
        url.replace("us-east-1", "us-east-2"),
        url.replace(ACCESS_KEY, "another"),
        url[:-1] + last,
        url.partition("?")[0],
    ):
        assert changed != url
        assert status_of(changed) in {400, 401, 403, 404}, changed


def test_a_url_signed_without_the_secret_is_refused(endpoint: str) -> None:
    assert status_of(signed(endpoint, secret="guessed")) == 403


def test_a_url_is_good_for_a_while(endpoint: str) -> None:
    url, end = signed(endpoint, lifetime=1), time.monotonic() + DEADLINE_SECONDS
    while status_of(url) == 200:
        assert time.monotonic() < end, "the URL does not expire"
    assert status_of(url) == 403


async def test_a_node_gets_a_url_and_no_keys(endpoint: str, hub: FakeHub, store: Store) -> None:
    value = {
        "type": "object",
        "source": "minio",
        "endpoint": endpoint,
        "bucket": "box",
        "object": OBJECT.removeprefix("box/"),
        "unpack": "zip",
        "ak": ACCESS_KEY,
        "sk": SECRET_KEY,
        "md5": "x",
    }
    spec = convert({"data": [{"key": "f.zip", "value": value}]}, ConfigSpec)
    await store.write(describe)
    await store.write(lambda tx: update_config(tx, "default", "conf", spec, now=NOW))
    inbox = NodeInbox(hub, Exchange(store, lambda: NOW, presign=presigner(timedelta(minutes=1))))
    content = {"infos": [{"kind": "config", "name": "conf"}]}
    await inbox.handle([hub.inbound(Channel.DESIRE, Message("desire", content, {}))])
    [(_, _, answer, _)] = hub.pushed
    [body] = answer.content["values"]
    assert SECRET_KEY not in str(answer)
    entry = json.loads(body["value"]["data"]["_object_f.zip"])
    assert (entry["unpack"], entry["md5"]) == ("zip", "x")
    async with httpx.AsyncClient() as client:
        assert (await client.get(entry["url"])).content == CONTENT


async def test_a_server_that_cannot_sign_answers_with_an_error(hub: FakeHub, store: Store) -> None:
    value = {"type": "object", "source": "awss3", "bucket": "box", "object": "x"}
    keys = {"ak": ACCESS_KEY, "sk": SECRET_KEY}
    spec = convert({"data": [{"key": "f", "value": {**value, **keys}}]}, ConfigSpec)
    await store.write(describe)
    await store.write(lambda tx: update_config(tx, "default", "conf", spec, now=NOW))
    content = {"infos": [{"kind": "config", "name": "conf"}]}
    inbox = NodeInbox(hub, Exchange(store, lambda: NOW))
    await inbox.handle([hub.inbound(Channel.DESIRE, Message("desire", content, {}))])
    [(_, _, answer, _)] = hub.pushed
    assert answer.kind == "error"
    assert "edgesync[objects]" in answer.content
    assert SECRET_KEY not in str(answer)


def test_the_check_agrees_with_the_published_example() -> None:
    """The example of the page that the check is written from."""
    query = (
        "X-Amz-Algorithm=AWS4-HMAC-SHA256"
        "&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
        "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
        "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    )
    keys = {"AKIAIOSFODNN7EXAMPLE": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}
    host, start = "examplebucket.s3.amazonaws.com", datetime(2013, 5, 24, tzinfo=UTC)
    assert may_get(f"/test.txt?{query}", host, keys, start + timedelta(hours=23))
    assert not may_get(f"/test.txt?{query}", host, keys, start + timedelta(hours=25))
    assert not may_get(f"/other.txt?{query}", host, keys, start)
