"""Probes: how a node finds out whether a service has started, is alive and is ready.

Shape, defaults and rules are those of Kubernetes' `v1.Probe` (pod lifecycle, "Container probes").
"""

import re
from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from cloud.errors import Invalid

Number = Annotated[int, Meta(ge=0, le=2**31 - 1)]

PORT_LIMIT = 65535

_HEADER_NAME = re.compile(r"[-A-Za-z0-9!#$%&'*+.^_`|~]+")
_DEFAULTS = {
    "timeout_seconds": 1,
    "period_seconds": 10,
    "success_threshold": 1,
    "failure_threshold": 3,
}


class _ProbePart(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """A piece of a probe; Kubernetes' names are camelCase."""


class ExecAction(_ProbePart, frozen=True):
    """Runs a command in the service; exit code 0 is success."""

    command: tuple[str, ...]


class UriScheme(StrEnum):
    """How a probe speaks to the service."""

    HTTP = "HTTP"
    HTTPS = "HTTPS"


class HttpHeader(_ProbePart, frozen=True):
    """One header of the request."""

    name: str
    value: str = ""


class HttpGetAction(_ProbePart, frozen=True):
    """Sends a GET request; a status from 200 to 399 is success. *host* empty: the service."""

    port: int
    path: str = "/"
    host: str = ""
    scheme: UriScheme = UriScheme.HTTP
    http_headers: tuple[HttpHeader, ...] = ()


class TcpSocketAction(_ProbePart, frozen=True):
    """Opens a TCP connection; an open one is success. *host* empty: the service."""

    port: int
    host: str = ""


class ServiceProbe(_ProbePart, frozen=True):
    """One check, repeated; exactly one of its actions is set. A number of 0 means its default."""

    exec: ExecAction | UnsetType = UNSET
    http_get: HttpGetAction | UnsetType = UNSET
    tcp_socket: TcpSocketAction | UnsetType = UNSET
    initial_delay_seconds: Number = 0
    timeout_seconds: Number = 1
    period_seconds: Number = 10
    success_threshold: Number = 1
    failure_threshold: Number = 3

    def __post_init__(self) -> None:
        for name, default in _DEFAULTS.items():
            if getattr(self, name) == 0:
                msgspec.structs.force_setattr(self, name, default)


def check_probe(field: str, probe: ServiceProbe, *, is_readiness: bool) -> None:
    """Refuse what Kubernetes refuses; Invalid names the field. *is_readiness*: not the others."""
    actions = (probe.exec, probe.http_get, probe.tcp_socket)
    if sum(action is not UNSET for action in actions) != 1:
        raise Invalid(field, "needs exactly one of exec, httpGet and tcpSocket")
    if isinstance(probe.exec, ExecAction) and not any(probe.exec.command):
        raise Invalid(f"{field}.exec.command", "is empty")
    if isinstance(probe.tcp_socket, TcpSocketAction):
        _check_port(f"{field}.tcpSocket.port", probe.tcp_socket.port)
    if isinstance(probe.http_get, HttpGetAction):
        _check_http_get(f"{field}.httpGet", probe.http_get)
    if probe.success_threshold != 1 and not is_readiness:
        raise Invalid(f"{field}.successThreshold", "must be 1 for this probe")


def _check_http_get(field: str, action: HttpGetAction) -> None:
    _check_port(f"{field}.port", action.port)
    if not action.path.startswith("/"):
        raise Invalid(f"{field}.path", f"{action.path[:80]!r} does not start with /")
    for index, header in enumerate(action.http_headers):
        if not _HEADER_NAME.fullmatch(header.name):
            reason = f"{header.name[:80]!r} is not the name of a header"
            raise Invalid(f"{field}.httpHeaders[{index}].name", reason)


def _check_port(field: str, port: int) -> None:
    if not 1 <= port <= PORT_LIMIT:
        raise Invalid(field, f"is not between 1 and {PORT_LIMIT}")
