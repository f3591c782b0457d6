import base64
import json

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from cloud.core.app import App, AppSpec
from cloud.core.config import Config, ConfigItem, ConfigSpec, KeyValue
from cloud.core.decoding import convert
from cloud.core.delivery import app_value, config_value, registry_value, secret_value
from cloud.core.kinds import CONFIG, REGISTRY, SECRET, ResourceKind
from cloud.core.objects import Unsigned, cannot_sign
from cloud.core.registry import Registry, RegistrySpec
from cloud.core.secret import Secret, SecretSpec
from tests.core.strategies import START

HEAD = {"namespace": "default", "version": "12", "createTime": "2026-01-02T03:04:05Z"}

files = st.dictionaries(st.text("abc.", min_size=1), st.text(st.characters(codec="utf-8")))


def version_of(kind: ResourceKind, name: str) -> str:
    return {CONFIG: "11", SECRET: "7", REGISTRY: "9"}[kind]


def test_an_app_is_delivered_with_the_versions_it_mounts() -> None:
    content = {
        "selector": "env=dev",
        "services": [{"name": "web", "image": "nginx:1", "hostNetwork": True}],
        "volumes": [
            {"name": "conf", "config": {"name": "web-conf", "version": "3"}},
            {"name": "password", "secret": {"name": "web-password"}},
            {"name": "data", "hostPath": {"path": "/data"}},
            {"name": "tmp", "emptyDir": {}},
        ],
    }
    app = App("default", "web", convert(content, AppSpec), "12", START, START)
    value = app_value(app, version_of)
    assert value.items() >= {"name": "web", **HEAD, "type": "container"}.items()
    assert value["services"][0]["hostNetwork"] is True
    assert value["volumes"] == [
        {"name": "conf", "config": {"name": "web-conf", "version": "11"}},
        {"name": "password", "secret": {"name": "web-password", "version": "7"}},
        {"name": "data", "hostPath": {"path": "/data", "type": ""}},
        {"name": "tmp", "emptyDir": {}},
    ]


def test_the_largest_numbers_an_app_may_have_can_be_delivered() -> None:
    restart = {"backoff": {"min": 0, "max": 2**63 - 1, "factor": 1e308}, "retry": {"max": 9}}
    service = {"name": "web", "image": "x", "replica": 2**31 - 1, "restart": restart}
    app = App("default", "web", convert({"services": [service]}, AppSpec), "1", START, START)
    value = app_value(app, version_of)
    from_msgpack = msgspec.msgpack.decode(msgspec.msgpack.encode(value))
    assert from_msgpack == json.loads(msgspec.json.encode(value))
    assert from_msgpack["services"][0]["restart"] == {**restart, "policy": ""}


@given(files)
def test_a_config_is_delivered_as_files(content: dict[str, str]) -> None:
    items = tuple(ConfigItem(key, KeyValue(text)) for key, text in content.items())
    spec = ConfigSpec(labels={"a": "b"}, data=items, description="files")
    value = config_value(Config("default", "conf", spec, "12", START, START), cannot_sign)
    assert value == {
        "name": "conf", **HEAD, "labels": {"a": "b"}, "description": "files", "data": content
    }  # fmt: skip


@given(files)
def test_a_secret_is_delivered_as_base64(content: dict[str, str]) -> None:
    value = secret_value(Secret("default", "db", SecretSpec(content), "12", START, START))
    decoded = {key: base64.b64decode(text).decode() for key, text in value["data"].items()}
    assert decoded == content
    labels = {"secret-type": "config"}
    assert {**value, "data": None} == {
        "name": "db", **HEAD, "labels": labels, "description": "", "data": None
    }  # fmt: skip


def test_a_registry_is_delivered_as_a_secret_volume_of_its_name() -> None:
    content = {
        "volumes": [{"name": "tmp", "emptyDir": {}}],
        "registries": [{"name": "hub", "version": "1"}],
    }
    app = App("default", "web", convert(content, AppSpec), "12", START, START)
    value = app_value(app, version_of)
    assert value["registries"] == [{"name": "hub", "version": "9"}]
    assert value["volumes"] == [
        {"name": "tmp", "emptyDir": {}},
        {"name": "hub", "secret": {"name": "hub", "version": "9"}},
    ]


def test_a_registry_is_delivered_as_base64() -> None:
    spec = RegistrySpec("hub.example.com", "puller", "öpen", "for people")
    value = registry_value(Registry("default", "hub", spec, "12", START, START))
    decoded = {key: base64.b64decode(text).decode() for key, text in value["data"].items()}
    assert decoded == {"address": "hub.example.com", "username": "puller", "password": "öpen"}
    labels = {"secret-type": "registry"}
    assert {**value, "data": None} == {
        "name": "hub", **HEAD, "labels": labels, "description": "", "data": None
    }  # fmt: skip


def test_an_object_is_delivered_by_a_url_that_holds_no_secret() -> None:
    content = {
        "key": "f.zip",
        "value": {
            "type": "object", "source": "minio", "endpoint": "http://s3.example.com", "md5": "x",
            "bucket": "box", "object": "a b.zip", "ak": "id", "sk": "open sesame", "unpack": "zip",
        },
    }  # fmt: skip
    spec = convert({"data": [content]}, ConfigSpec)
    asked: list[Unsigned] = []

    def presign(request: Unsigned) -> str:
        asked.append(request)
        return "signed"

    value = config_value(Config("default", "conf", spec, "12", START, START), presign)
    assert asked == [
        Unsigned("http://s3.example.com/box/a%20b.zip", "us-east-1", "id", "open sesame")
    ]
    assert set(value["data"]) == {"_object_f.zip"}
    entry = json.loads(value["data"]["_object_f.zip"])
    assert entry == {"url": "signed", "md5": "x", "unpack": "zip"}
