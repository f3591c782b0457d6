"""Ports for servers that are started later, or again, on the same port."""

import secrets
import socket
from pathlib import Path

_LOWEST = 10_000
_ATTEMPTS = 100
_RANGE_FILE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def free_port(host: str = "127.0.0.1") -> int:
    """A port of *host* that is free now and that the kernel gives to no other socket.

    Below the kernel's ephemeral range, so that neither an outgoing connection nor a server on
    port 0 takes it before it is listened on. Random, so that programs side by side choose
    different ones. Raises OSError if *host* is not an address of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for attempt in range(_ATTEMPTS):
        port = _LOWEST + secrets.randbelow(_lowest_ephemeral() - _LOWEST)
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                if attempt == _ATTEMPTS - 1:
                    raise
            else:
                return port
    raise AssertionError


def _lowest_ephemeral() -> int:
    """The lowest port that the kernel chooses itself; 32768 where it is not known."""
    try:
        return max(int(_RANGE_FILE.read_text().split()[0]), _LOWEST + 10_000)
    except OSError:
        return 32_768
