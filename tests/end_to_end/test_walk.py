"""Every route of the published page, in its order, as a script with curl that was written by it.

What stands here is the page: its paths, its examples, the fields it shows and their types. Two
things differ from a script of before: the token, and what docs/compatibility.md lists.
"""

import json
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.end_to_end.conftest import Server, activate, running_server
from tests.end_to_end.node import connected

NUMBER = (int, float)
NODE = {
    "name": str, "namespace": str, "description": str, "ready": bool, "createTime": str,
    "labels": dict, "annotations": {"brand": str},
}  # fmt: skip
INSTANCE = {
    "name": str, "serviceName": str, "status": str, "cause": str, "createTime": str,
    "usage": {"cpu": str, "memory": str},
}  # fmt: skip
APP_STATS = {
    "name": str, "version": str, "status": str, "cause": str, "instances": {"key": INSTANCE},
}  # fmt: skip
STATS: Any = {
    "ready": bool,
    "report": {
        "time": str,
        "node": {
            "hostname": str, "address": str, "arch": str, "kernelVer": str, "os": str,
            "containerRuntime": str, "machineID": str, "bootID": str, "systemUUID": str,
            "osImage": str,
        },
        "nodestats": {
            "usage": {"cpu": str, "memory": str},
            "capacity": {"cpu": str, "memory": str},
            "percent": {"cpu": NUMBER, "memory": NUMBER},
        },
        "apps": [{"name": str, "version": str}],
        "sysapps": [{"name": str, "version": str}],
        "appstats": [APP_STATS],
        "sysappstats": [APP_STATS],
        "core": {"goVersion": str, "binVersion": str, "gitRevision": str},
    },
}  # fmt: skip
REPORT = {
    "time": "2026-07-01T12:00:00Z",
    "node": dict.fromkeys(STATS["report"]["node"], "x"),
    "nodestats": {
        "usage": {"cpu": "0.5", "memory": "512Mi"}, "capacity": {"cpu": "2", "memory": "2Gi"},
    },
    "core": {"goVersion": "go1.20", "binVersion": "v2.4.3", "gitRevision": "abc"},
    **{apps: [{"name": "a", "version": "1"}] for apps in ("apps", "sysapps")},
    **{
        stats: [
            {
                "name": "a", "version": "1", "status": "Running", "cause": "",
                "instances": {
                    "key": {
                        "name": "key", "serviceName": "a", "status": "Running", "cause": "",
                        "createTime": "2026-07-01T12:00:00Z",
                        "usage": {"cpu": "0.1", "memory": "10Mi"},
                    }
                },
            }
        ]
        for stats in ("appstats", "sysappstats")
    },
}  # fmt: skip
DONE = {"success": bool}
OPTIONS = {"selector": str, "fieldSelector": str, "limit": int, "continue": str}
APP_SUMMARY = {
    "name": str, "labels": dict, "description": str, "namespace": str, "createTime": str,
    "version": str, "type": str, "selector": str,
}  # fmt: skip
SERVICE = {
    "name": str,
    "image": str,
    "replica": int,
    "hostname": str,
    "volumeMounts": [{"name": str, "mountPath": str, "readOnly": bool, "immutable": bool}],
    "restart": {"retry": dict, "backoff": dict},
    "resources": {
        "limits": {"cpu": str, "memory": str}, "requests": {"cpu": str, "memory": str},
    },
    "ports": [{"hostPort": int, "containerPort": int}],
    "devices": [{"devicePath": str}],
    "args": [str],
    "env": [{"name": str, "value": str}],
    "security": {"privileged": bool},
    "hostNetwork": bool,
}  # fmt: skip
APP = {
    **APP_SUMMARY,
    "services": [SERVICE],
    "volumes": [{"name": str, "config": {"name": str}}],
    "registries": [{"name": str, "version": str}],
}
APP_BODY: dict[str, Any] = {
    "name": "app-1",
    "selector": "abc=test",
    "labels": {"a": "b"},
    "description": "an app",
    "services": [
        {
            "name": "s",
            "labels": {"a": "b"},
            "image": "nginx:latest",
            "hostname": "h",
            "replica": 1,
            "volumeMounts": [
                {"name": "conf", "mountPath": "/etc/c", "readOnly": True, "immutable": False}
            ],
            "ports": [
                {"hostPort": 8080, "containerPort": 80, "hostIP": "0.0.0.0", "protocol": "TCP"}  # noqa: S104
            ],
            "devices": [{"devicePath": "/dev/video0", "policy": "rw", "description": "d"}],
            "args": ["-v"],
            "env": [{"name": "A", "value": "B"}],
            "resources": {
                "limits": {"cpu": "1", "memory": "50M"},
                "requests": {"cpu": "0.5", "memory": "1024"},
            },
            "runtime": "",
            "restart": {
                "retry": {"max": 3},
                "policy": "Always",
                "backoff": {"min": 1, "max": 10, "factor": 1.5},
            },
            "security": {"privileged": True},
            "hostNetwork": False,
        }
    ],
    "volumes": [
        {"name": "conf", "config": {"name": "conf-1"}},
        {"name": "password", "secret": {"name": "secret-1"}},
        {"name": "host", "hostPath": {"path": "/tmp/x"}},  # noqa: S108
    ],
    "registries": [{"name": "registry-1"}],
    "type": "container",
}  # fmt: skip
FUNCTION_BODY = {
    "name": "app-2",
    "selector": "abc=test",
    "labels": {},
    "description": "",
    "type": "function",
    "services": [
        {
            "name": "s",
            "functionConfig": {"name": "conf-2", "runtime": "python36"},
            "functions": [{"name": "process", "handler": "index.handler", "codedir": "x"}],
        }
    ],
}
FUNCTION_APP = {
    **APP_SUMMARY,
    "services": [
        {
            "image": str,
            "functionConfig": {"name": str, "runtime": str},
            "functions": [{"name": str, "handler": str, "codedir": str}],
        }
    ],
}
CONFIG_SUMMARY = {
    "name": str, "labels": dict, "description": str, "namespace": str, "createTime": str,
    "updateTime": str, "version": str,
}  # fmt: skip
CONFIG = {**CONFIG_SUMMARY, "data": [{"key": str, "value": dict}]}
CONFIG_VALUES = [
    {"type": "kv", "value": "content"},
    {
        "type": "object", "source": "awss3", "endpoint": "http://xx.xx.com", "bucket": "baetyl",
        "object": "func.zip", "unpack": "zip", "ak": "xx", "sk": "xx", "md5": "xxxx",
    },
    {
        "type": "function", "function": "process", "version": "1", "runtime": "python36",
        "handler": "index.handler", "bucket": "baetyl-cloud-xx", "object": "process.zip",
        "source": "baidubos", "unpack": "zip",
    },
]  # fmt: skip
CONFIG_BODY = {
    "name": "conf-1",
    "labels": {"abc": "test"},
    "description": "d",
    "data": [{"key": f"key-{index}", "value": value} for index, value in enumerate(CONFIG_VALUES)],
}
SECRET_SUMMARY = {
    "name": str, "namespace": str, "createTime": str, "updateTime": str, "description": str,
    "version": str,
}  # fmt: skip
SECRET = {**SECRET_SUMMARY, "data": {"a": str}}
REGISTRY = {
    "name": str, "namespace": str, "address": str, "username": str, "createTime": str,
    "updateTime": str, "description": str, "version": str,
}  # fmt: skip
REGISTRY_BODY = {
    "name": "registry-1", "description": "d", "address": "hub.example.com", "username": "u",
    "password": "p",
}  # fmt: skip
BATCH_SUMMARY = {
    "name": str, "createTime": str, "updateTime": str, "quotaNum": int, "securityType": str,
    "callbackName": str, "description": str,
}  # fmt: skip
BATCH = {
    **BATCH_SUMMARY,
    "enableWhitelist": int,
    "securityKey": str,
    "labels": dict,
    "fingerprint": {"type": int, "snPath": str, "inputField": str},
}
RECORD = {
    "name": str, "batchName": str, "namespace": str, "fingerprintValue": str, "active": int,
    "nodeName": str, "activeIp": str, "createTime": str, "updateTime": str,
}  # fmt: skip


def listed(item: Any) -> Any:
    return {"total": int, "listOptions": OPTIONS, "items": [item]}


def numbered(item: Any) -> Any:
    return {"total": int, "pageNo": int, "pageSize": int, "items": [item]}


PAGED = "pageNo=1&pageSize=10&name="
LIST = "selector=abc%3Dtest&fieldSelector=metadata.name%3D{}&limit=10"


@dataclass(frozen=True)
class Step:
    """One call, the answer that the page shows, and *values* that it names or that follow."""

    method: str
    path: str
    shown: Any
    body: Any = None
    values: Mapping[str, Any] = field(default_factory=dict)


WALK = [
    # what apps name comes first
    Step("POST", "/v1/configs", CONFIG, CONFIG_BODY),
    Step("POST", "/v1/configs", CONFIG, {**CONFIG_BODY, "name": "conf-2"}),
    Step("POST", "/v1/secrets", SECRET, {"name": "secret-1", "data": {"a": "b"}}),
    Step("POST", "/v1/registries", REGISTRY, REGISTRY_BODY),
    # nodes
    Step(
        "POST",
        "/v1/nodes",
        NODE,
        {"name": "node-1", "labels": {"abc": "test"}, "annotations": {"brand": "b"}},
        {"name": "node-1", "ready": False, "description": "", "namespace": "default"},
    ),
    Step("GET", "/v1/nodes/node-1", NODE),
    Step("GET", f"/v1/nodes?{LIST.format('node-1')}", listed(NODE), values={"total": 1}),
    Step(
        "PUT",
        "/v1/nodes/node-1",
        NODE,
        {"labels": {"abc": "test"}, "annotatins": {"brand": "c"}, "description": "d"},
        {"annotations": {"brand": "c"}, "description": "d"},
    ),
    # apps
    Step("POST", "/v1/apps", APP, APP_BODY, {"type": "container", "selector": "abc=test"}),
    Step("POST", "/v1/apps", FUNCTION_APP, FUNCTION_BODY, {"type": "function"}),
    Step("POST", "/v1/apps?from=app-1", APP, {"name": "app-3", "type": "container"}),
    Step(
        "POST",
        "/v1/apps?base=app-1",
        {**APP, "registries": list},
        {"name": "app-4", "type": "container"},
    ),
    Step("GET", "/v1/apps/app-1", APP),
    Step("PUT", "/v1/apps/app-1", APP, {**APP_BODY, "name": "app-1", "description": "e"}),
    Step(
        "GET",
        "/v1/apps?fieldSelector=metadata.name%3Dapp-1&limit=10",
        listed(APP_SUMMARY),
        values={"total": 1},
    ),
    Step(
        "GET",
        "/v1/nodes/node-1/apps",
        {
            "total": int,
            "items": [{"name": str, "selector": str, "namespace": str, "createTime": str}],
        },
        values={"total": 3, "listOptions": None},
    ),
    Step("GET", "/v1/nodes/node-1/init", {"cmd": str}),
    # configs
    Step("GET", "/v1/configs/conf-1", CONFIG),
    Step("GET", f"/v1/configs?{LIST.format('conf-1')}", listed(CONFIG_SUMMARY)),
    Step("GET", "/v1/configs/conf-1/apps", listed(APP_SUMMARY), values={"total": 3}),
    Step("PUT", "/v1/configs/conf-1", CONFIG, {"data": CONFIG_BODY["data"], "description": "e"}),
    # secrets
    Step("GET", "/v1/secrets/secret-1", SECRET, values={"data": {"a": "b"}}),
    Step("GET", "/v1/secrets?limit=10", listed(SECRET_SUMMARY)),
    Step("GET", "/v1/secrets/secret-1/apps", listed(APP_SUMMARY)),
    Step("PUT", "/v1/secrets/secret-1", SECRET, {"data": {"a": "c"}, "description": "e"}),
    # registries
    Step("GET", "/v1/registries/registry-1", REGISTRY, values={"username": "u"}),
    Step("GET", "/v1/registries?limit=10", listed(REGISTRY)),
    Step("GET", "/v1/registries/registry-1/apps", listed(APP_SUMMARY)),
    Step("PUT", "/v1/registries/registry-1", REGISTRY, {"description": "e"}),
    Step("POST", "/v1/registries/registry-1/refresh", REGISTRY, {"password": "q"}),
    # register
    Step(
        "POST",
        "/v1/register",
        BATCH,
        {"name": "product001", "securityType": "Token", "fingerprint": {"type": 1}},
        {
            "quotaNum": 200,
            "enableWhitelist": 1,
            "fingerprint": {
                "type": 1,
                "snPath": "/var/lib/baetyl/sn/fingerprint.txt",
                "inputField": "sn",
            },
        },
    ),
    Step("GET", f"/v1/register?{PAGED}product", numbered(BATCH_SUMMARY), values={"pageNo": 1}),
    Step("GET", "/v1/register/product001", BATCH),
    Step(
        "PUT",
        "/v1/register/product001",
        BATCH,
        {"quotaNum": 100, "labels": {"a": "b"}, "callbackName": "", "description": "e"},
        {"quotaNum": 100, "labels": {"a": "b", "baetyl-batch": "product001"}},
    ),
    Step("GET", "/v1/register/product001/init", {"cmd": str}),
    Step(
        "POST",
        "/v1/register/product001/record",
        RECORD,
        {"name": "r1", "fingerprintValue": "sn-1", "nodeName": "node-7"},
        {"active": 0, "batchName": "product001", "activeIp": ""},
    ),
    Step(
        "POST",
        "/v1/register/product001/generate",
        {"items": [str], "total": int},
        {"num": 3},
        {"total": 3},
    ),
    Step("GET", f"/v1/register/product001/record?{PAGED}", numbered(RECORD), values={"total": 4}),
    Step("GET", "/v1/register/product001/record/r1", RECORD),
    Step("PUT", "/v1/register/product001/record/r1", RECORD, {"nodeName": "node-8"}),
    Step("GET", "/v1/register/product001/download", None),
    Step("DELETE", "/v1/register/product001/record/r1", DONE),
    # what is left
    *[Step("DELETE", f"/v1/apps/app-{number}", DONE) for number in range(1, 5)],
    Step("DELETE", "/v1/configs/conf-1", DONE),
    Step("DELETE", "/v1/secrets/secret-1", DONE),
    Step("DELETE", "/v1/registries/registry-1", DONE),
    Step("DELETE", "/v1/nodes/node-1", DONE),
    Step("POST", "/v1/register", BATCH, {"name": "product002", "enableWhitelist": 0}),
    Step("DELETE", "/v1/register/product002", DONE),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("walk") / "data") as running:
        yield running


def curl(server: Server, method: str, path: str, body: Any = None) -> tuple[int, str]:
    """Status and body of the answer, as a script gets them."""
    command = ["curl", "-sS", "-X", method, "-w", "\n%{http_code}", f"{server.api}{path}"]
    command += ["-H", f"Authorization: Bearer {server.token}"]
    command += ["-H", "Content-Type: application/json"]
    if body is not None:
        command += ["-d", json.dumps(body)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    content, _, status = done.stdout.rpartition("\n")
    return int(status), content


def differences(shown: Any, value: Any, where: str = "") -> list[str]:
    """Where *value* lacks something the page shows, or has it as another type."""
    if isinstance(shown, dict):
        if not isinstance(value, dict):
            return [f"{where}: {value!r} is no object"]
        found = [f"{where}.{name} is missing" for name in shown if name not in value]
        for name in shown.keys() & value.keys():
            found += differences(shown[name], value[name], f"{where}.{name}")
        return found
    if isinstance(shown, list):
        if not isinstance(value, list) or not value:
            return [f"{where}: {value!r} is no list of something"]
        return differences(shown[0], value[0], f"{where}[0]")
    is_right = isinstance(value, shown) and (shown is bool or not isinstance(value, bool))
    return [] if is_right else [f"{where}: {value!r} is of another type"]


def test_a_script_written_by_the_page_works_from_beginning_to_end(server: Server) -> None:
    for step in WALK:
        status, content = curl(server, step.method, step.path, step.body)
        where = f"{step.method} {step.path}"
        assert status == 200, f"{where}: {content}"
        if step.shown is None:
            assert len(content.splitlines()) == 4, where
            continue
        answer = json.loads(content)
        assert differences(step.shown, answer) == [], where
        assert {name: answer[name] for name in step.values} == dict(step.values), where


def test_the_stats_of_a_node_have_the_shape_of_the_page(server: Server) -> None:
    _, content = curl(server, "POST", "/v1/register", {"name": "stats", "enableWhitelist": 0})
    with connected(server, activate(server, json.loads(content), "seen")) as node:
        node.report(**REPORT)
    status, content = curl(server, "GET", "/v1/nodes/seen/stats")
    stats = json.loads(content)
    assert (status, differences(STATS, stats)) == (200, [])
    assert stats["ready"] is True
    assert stats["report"]["nodestats"]["percent"] == {"cpu": 0.25, "memory": 0.25}


def test_an_error_has_the_form_and_the_words_of_the_page(server: Server) -> None:
    status, content = curl(server, "GET", "/v1/register/0513021/download")
    error = json.loads(content)
    assert status == 404
    assert set(error) == {"code", "message", "request-id"}
    assert error["code"] == "ResourceNotFound"
    assert error["message"] == "The (batch) resource (0513021) is not found."


def test_the_walk_meets_every_route_of_the_page() -> None:
    counts = {"nodes": 8, "apps": 5, "configs": 6, "secrets": 6, "registries": 7, "register": 13}
    words = {"stats", "refresh", "apps", "record", "init", "generate", "download"}
    met: dict[str, set[tuple[str, ...]]] = {noun: set() for noun in counts}
    met["nodes"].add(("GET", "{}", "stats"))
    for step in WALK:
        noun, *rest = step.path.partition("?")[0].split("/")[2:]
        met[noun].add((step.method, *(part if part in words else "{}" for part in rest)))
    assert {noun: len(routes) for noun, routes in met.items()} == counts
