from typing import Any

import msgspec
import pytest

from cloud.core.config import (
    ConfigSpec,
    checked_config_spec,
    masked_config_spec,
    unmasked_config_spec,
)
from cloud.core.decoding import convert
from cloud.core.mask import MASK
from cloud.core.objects import (
    CannotSign,
    FunctionObject,
    StoredObject,
    Unsigned,
    cannot_sign,
    object_url,
)
from tests.core.refusals import field_refused

MINIO = {
    "type": "object",
    "source": "minio",
    "endpoint": "http://s3.example.com:9000",
    "bucket": "box",
    "object": "dir/func.zip",
    "unpack": "zip",
    "ak": "id",
    "sk": "open sesame",
    "md5": "x",
}
HTTP = {"type": "object", "source": "http", "url": "https://example.com/f.zip?a=b", "md5": "x"}
FUNCTION = {
    "type": "function",
    "function": "process",
    "version": "1",
    "runtime": "python36",
    "handler": "index.handler",
    "bucket": "baetyl-cloud-xx",
    "object": "process.zip",
    "source": "baidubos",
    "unpack": "zip",
}


def spec_of(value: dict[str, Any], key: str = "f") -> ConfigSpec:
    return convert({"data": [{"key": key, "value": value}]}, ConfigSpec)


def refused(value: dict[str, Any], key: str = "f") -> str:
    return field_refused(lambda: checked_config_spec(spec_of(value, key)))


def url_of(value: dict[str, Any]) -> str:
    found = spec_of(value).data[0].value
    assert isinstance(found, StoredObject | FunctionObject)
    return object_url(found, lambda request: f"{request.ak}@{request.region} {request.url}")


@pytest.mark.parametrize("value", [MINIO, HTTP, FUNCTION])
def test_what_the_contract_shows_is_taken(value: dict[str, Any]) -> None:
    assert checked_config_spec(spec_of(value)) == spec_of(value)


@pytest.mark.parametrize(
    ("value", "changes", "field"),
    [
        (MINIO, {"type": "blob"}, "type"),
        (MINIO, {"type": None}, "type"),
        (MINIO, {"source": "ftp"}, "source"),
        (MINIO, {"source": None}, "source"),
        (MINIO, {"endpoint": ""}, "endpoint"),
        (MINIO, {"endpoint": "s3.example.com"}, "endpoint"),
        (MINIO, {"endpoint": "http://s3.example.com?x"}, "endpoint"),
        (MINIO, {"endpoint": "http://s3.example.com:port"}, "endpoint"),
        (MINIO, {"endpoint": "http://[x"}, "endpoint"),
        (MINIO, {"bucket": ""}, "bucket"),
        (MINIO, {"bucket": "a/b"}, "bucket"),
        (MINIO, {"object": ""}, "object"),
        (MINIO, {"object": "a/../b"}, "object"),
        (MINIO, {"region": "?"}, "region"),
        (MINIO, {"ak": ""}, "ak"),
        (MINIO, {"sk": ""}, "sk"),
        (MINIO, {"sk": MASK}, "sk"),
        (MINIO, {"secret": "x"}, "secret"),
        (HTTP, {"url": ""}, "url"),
        (HTTP, {"url": "file:///etc/passwd"}, "url"),
        (HTTP, {"url": "http://a b/"}, "url"),
        (HTTP, {"ak": "x", "sk": "y"}, "ak"),
        (FUNCTION, {"function": None}, "function"),
        (FUNCTION, {"version": ""}, "version"),
        (FUNCTION, {"runtime": " "}, "runtime"),
        (FUNCTION, {"handler": ""}, "handler"),
        (FUNCTION, {"bucket": None}, "bucket"),
        (FUNCTION, {"source": "http"}, "source"),
    ],
)
def test_what_no_node_could_fetch_is_refused_by_name(
    value: dict[str, Any], changes: dict[str, Any], field: str
) -> None:
    wanted = {key: text for key, text in {**value, **changes}.items() if text is not None}
    assert refused(wanted) == f"data[0].value.{field}"


def test_the_keys_of_objects_are_kept_for_them() -> None:
    assert refused({"type": "kv", "value": "x"}, "_object_f") == "data[0].key"
    assert refused(MINIO, "f" * 250) == "data[0].key"


@pytest.mark.parametrize(
    ("changes", "url"),
    [
        ({}, "id@us-east-1 http://s3.example.com:9000/box/dir/func.zip"),
        ({"object": "ä b+c?"}, "id@us-east-1 http://s3.example.com:9000/box/%C3%A4%20b%2Bc%3F"),
        (
            {"source": "awss3", "endpoint": "", "region": "eu-west-1"},
            "id@eu-west-1 https://s3.eu-west-1.amazonaws.com/box/dir/func.zip",
        ),
        (
            {"source": "awss3", "endpoint": "https://s3.eu-central-1.amazonaws.com/"},
            "id@eu-central-1 https://s3.eu-central-1.amazonaws.com/box/dir/func.zip",
        ),
        (
            {"source": "baidubos", "endpoint": ""},
            "id@bj https://s3.bj.bcebos.com/box/dir/func.zip",
        ),
        ({"ak": "", "sk": ""}, "http://s3.example.com:9000/box/dir/func.zip"),
    ],
)
def test_an_object_has_an_address(changes: dict[str, Any], url: str) -> None:
    assert url_of({**MINIO, **changes}) == url


def test_a_plain_url_is_passed_on_as_it_is() -> None:
    assert url_of(HTTP) == HTTP["url"]


def test_nothing_is_signed_without_means() -> None:
    with pytest.raises(CannotSign):
        cannot_sign(Unsigned("http://example.com", "r", "id", "open sesame"))


@pytest.mark.parametrize("value", [MINIO, {**FUNCTION, "ak": "id", "sk": "open sesame"}])
def test_a_secret_key_is_shown_as_a_mask_that_stands_for_it(value: dict[str, Any]) -> None:
    stored = spec_of(value)
    shown = masked_config_spec(stored)
    assert "sesame" not in str(msgspec.to_builtins(shown))
    assert unmasked_config_spec(shown, stored) == stored
    assert unmasked_config_spec(stored, spec_of({**value, "sk": "other"})) == stored


def test_a_mask_stands_for_nothing_where_there_is_nothing_of_that_name() -> None:
    shown = masked_config_spec(spec_of(MINIO))
    others = [
        ConfigSpec(),
        spec_of({"type": "kv", "value": "x"}),
        spec_of({**MINIO, "ak": "another"}),
        spec_of(MINIO, "other"),
    ]
    for before in others:
        spec = unmasked_config_spec(shown, before)
        assert field_refused(checked_config_spec, spec) == "data[0].value.sk"


def test_nothing_printed_shows_keys() -> None:
    spec = spec_of(MINIO)
    found = spec.data[0].value
    assert isinstance(found, StoredObject)
    request = Unsigned("http://x", "r", found.ak, found.sk)
    for shown in (repr(spec), str(found), repr(request)):
        assert "sesame" not in shown
