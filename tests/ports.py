"""Ports for servers that a test starts again on the same port."""

import secrets
import socket
from pathlib import Path

_LOWEST = 10_000
_RANGE_FILE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def free_port(host: str = "127.0.0.1") -> int:
    """A port of *host* that is free now and that the kernel gives to no other socket.

    Below the kernel's ephemeral range, so that neither an outgoing connection nor a server on
    port 0 takes it between two starts. Random, so that tests side by side choose different ones.
    """
    while True:
        port = _LOWEST + secrets.randbelow(_ephemeral() - _LOWEST)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
        return port


def _ephemeral() -> int:
    """The lowest port that the kernel chooses itself; 32768 where it is not known."""
    try:
        return max(int(_RANGE_FILE.read_text().split()[0]), _LOWEST + 10_000)
    except OSError:
        return 32_768
