"""Checks of probes over the network; each states what is wrong, empty for success."""

from __future__ import annotations

import http.client
import socket
import ssl

from edgesync_agent.spec import ProbeDefinition

BODY_LIMIT = 10 * 1024  # bytes of an answer that are read


def check_tcp(address: str, port: int, seconds: float) -> str:
    """Whether something listens there."""
    try:
        socket.create_connection((address, port), timeout=seconds).close()
    except OSError as error:
        return f"port {port}: {_words(error)}"
    return ""


def check_http(address: str, port: int, probe: ProbeDefinition) -> str:
    """Whether GET is answered with a status from 200 to 399; certificates are not looked at."""
    connection: http.client.HTTPConnection
    if probe.scheme == "HTTPS":
        trust = ssl.create_default_context()
        trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
        connection = http.client.HTTPSConnection(
            address, port, timeout=probe.timeout, context=trust
        )
    else:
        connection = http.client.HTTPConnection(address, port, timeout=probe.timeout)
    path = probe.path if probe.path.startswith("/") else f"/{probe.path}"
    try:
        headers = {"User-Agent": "edgesync-probe", "Connection": "close", **dict(probe.headers)}
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        answer.read1(BODY_LIMIT)
    except (OSError, http.client.HTTPException, ValueError) as error:
        return f"GET {path} on port {port}: {_words(error)}"
    finally:
        connection.close()
    is_right = 200 <= answer.status < 400
    return "" if is_right else f"GET {path} on port {port}: HTTP {answer.status}"


def _words(error: Exception) -> str:
    if isinstance(error, socket.timeout):
        return "no answer in time"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
