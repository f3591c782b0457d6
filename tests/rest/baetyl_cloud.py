"""A baetyl-cloud to import from: its routes, its two shapes of lists, and its oddities."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

ZERO = "0001-01-01T00:00:00Z"
HEAD: Mapping[str, Any] = {
    "namespace": "baetyl-cloud",
    "version": "1599999999abcdef",
    "createTime": "2020-07-22T06:25:05Z",
    "updateTime": ZERO,
}


@dataclass
class BaetylCloud:
    """What it manages, by kind and name, as its GET shows it.

    With *is_early* it is the edition of the page: nested list options, no pages but for the group
    `register`, which the later one does not have. Of each call the path is kept in *asked*.
    The paths in *failing* end in a proxy's page; the first *busy* calls come too soon.
    """

    is_early: bool = False
    token: str = ""
    failing: set[str] = field(default_factory=set)
    busy: int = 0
    things: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def add(self, kind: str, name: str, **thing: Any) -> None:
        """*kind* is the path of its list, without `/v1/`."""
        self.things.setdefault(kind, {})[name] = {"name": name, **HEAD, **thing}

    @property
    def app(self) -> Starlette:
        return Starlette(routes=[Route("/{path:path}", self._answer)])

    def _answer(self, request: Request) -> Response:
        self.asked.append(urlsplit(str(request.url)).path)
        if self.token and request.headers.get("authorization") != f"Bearer {self.token}":
            return _refusal(401, "ErrRequestAccessDenied", "The request access is denied.")
        if request.url.path in self.failing:
            return Response("bad gateway", 502)
        if self.busy:
            self.busy -= 1
            return Response("{}", 429, {"Retry-After": "0"})
        parts = request.path_params["path"].removeprefix("v1/").split("/")
        kind, name = "/".join(parts[:-1]), parts[-1]
        if (register := parts[0] == "register") and not self.is_early:
            return _refusal(404, "ErrRequestMethodNotFound", "The request method is not found.")
        if len(parts) == 1 or name == "record":
            items = list(self.things.get("/".join(parts), {}).values())
            return self._list(request, items, register=register)
        found = self.things.get(kind, {}).get(name)
        if found is None and kind == "secrets":
            # One store for both; the type is looked at in lists only.
            found = self.things.get("registry-secrets", {}).get(name)
        if found is None:
            return _refusal(404, "ErrResourceNotFound", f"The ({kind}) resource ({name}) ...")
        return JSONResponse(found)

    def _list(self, request: Request, items: list[Any], *, register: bool) -> Response:
        query = request.query_params
        number, size = int(query.get("pageNo", 1)), int(query.get("pageSize", 20))
        if register:
            page = items[(number - 1) * size : number * size]
            # Go leaves out what is empty.
            rest = {"total": len(items), "items": page} if page else {}
            return JSONResponse({"pageNo": number, "pageSize": size, **rest})
        shown = [{key: one[key] for key in one if key not in _HIDDEN_IN_LISTS} for one in items]
        if self.is_early:
            options = {"selector": "!baetyl-cloud-system", "fieldSelector": "", "limit": 0}
            return JSONResponse({"total": len(items), "listOptions": options, "items": shown})
        page = shown[(number - 1) * size : number * size]
        return JSONResponse({"total": len(items), "pageNo": number, "items": page})


_HIDDEN_IN_LISTS = frozenset({"services", "data", "volumes"})


def _refusal(status: int, code: str, message: str) -> Response:
    return JSONResponse({"code": code, "message": message, "requestId": ""}, status)


def furnished(*, is_early: bool) -> BaetylCloud:
    """One with something of everything that can be taken over."""
    cloud = BaetylCloud(is_early=is_early)
    cloud.add("secrets", "password", data={"password": "open"}, description="of the broker")
    cloud.add("registries", "hub", address="hub.example.com", username="puller", description="")
    cloud.add("registry-secrets", "hub", data={"password": "sesame", "username": "puller"})
    item = {"key": "mosquitto.conf", "value": {"type": "kv", "value": "listener 1883\n"}}
    code = {
        "type": "object",
        "source": "awss3",
        "endpoint": "http://s3.example.com",
        "bucket": "code",
        "object": "fn.zip",
        "unpack": "zip",
        "ak": "id",
        "sk": "key",
        "md5": "",
    }
    cloud.add("configs", "conf", labels=None, data=[item], description="", system=False)
    cloud.add("configs", "code", labels={"a": "b"}, data=[{"key": "fn.zip", "value": code}])
    cloud.add(
        "nodes",
        "gate-7",
        labels={"role": "gateway", "baetyl-node-name": "gate-7"},
        annotations=None,
        description="by the door",
        ready=1,
        mode="local",
        cluster=False,
        nodeMode="kube",
        report={"apps": []},
    )
    cloud.add("nodes/gate-7", "properties", state={"report": {"a": "0"}, "desire": {"a": "1"}})
    cloud.add("nodes/gate-7/core", "configs", frequency=60, apiport=30050, agentport=30080)
    mounts = [
        {"name": "conf", "mountPath": "/etc/mosquitto", "readOnly": True, "autoClean": False},
        {"name": "users", "mountPath": "/etc/users", "immutable": False},
    ]
    service = {
        "name": "broker",
        "image": "eclipse-mosquitto:2",
        "volumeMounts": mounts,
        "ports": [{"containerPort": 1883, "protocol": "TCP"}],
        "resources": None,
        "env": None,
        "functions": None,
    }
    cloud.add(
        "apps",
        "broker",
        type="container",
        mode="kube",
        labels=None,
        selector="role=gateway",
        services=[service],
        volumes=[
            {"name": "conf", "config": {"name": "conf", "version": "1599"}},
            {"name": "users", "secret": {"name": "password", "version": "1600"}},
        ],
        registries=[{"name": "hub", "address": "hub.example.com", "username": "puller"}],
        replica=2,
        workload="deployment",
        cronStatus=0,
        cronTime=ZERO,
        hostNetwork=True,
        system=False,
    )
    generated = "baetyl-function-config-greet"
    cloud.add(
        "apps",
        "fn",
        type="function",
        selector="",
        services=[
            {
                "name": "greet",
                "image": "hub.baidubce.com/baetyl/function-python:3.6-v2.0.0",
                "ports": [{"containerPort": 80, "protocol": "TCP"}],
                "functionConfig": {"name": "code", "runtime": "python36"},
                "functions": [{"name": "hello", "handler": "index.handler"}],
                "volumeMounts": [{"name": generated, "mountPath": "/etc/baetyl"}],
            }
        ],
        volumes=[{"name": generated, "config": {"name": generated + "-fn-x7", "version": "3"}}],
    )
    fingerprint = {"type": 1, "snPath": "/var/lib/baetyl/sn/fingerprint.txt"}
    cloud.add(
        "register",
        "line-7",
        quotaNum=10,
        securityType="Token",
        securityKey="a token of the batch",
        labels={"baetyl-batch": "line-7", "line": "7"},
        fingerprint=fingerprint,
    )
    cloud.add("register/line-7/record", "sn-1", fingerprintValue="SN-1", nodeName="gate-8")
    cloud.add(
        "register/line-7/record",
        "sn-2",
        fingerprintValue="SN-2",
        nodeName="gate-9",
        active=1,
        activeIP="192.0.2.9",
    )
    return cloud
