"""The address of a client, also behind trusted proxies.

`X-Forwarded-For` is believed from proxies that the operator trusts, entry by entry from the right:
each proxy appends the address that it was reached from, and everything to the left of the first
address that is not a trusted proxy's own may have been made up by the caller.
"""

import ipaddress
from collections.abc import Iterable, Sequence
from functools import lru_cache

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def client_address(peer: str, forwarded: Iterable[str], trusted: Sequence[Network]) -> str:
    """Address of the client of a request from *peer* with these lines of X-Forwarded-For.

    *peer* itself unless it is in *trusted*; then the right-most entry that is not, or the last one
    before an entry that cannot be read. An IPv4 address in IPv6 clothes is shown plain.
    """
    found = _address(peer)
    if found is None:
        return peer
    entries = [entry for line in forwarded for entry in line.split(",")]
    while entries and any(found in network for network in trusted):
        before = _address(_without_port(entries.pop().strip()))
        if before is None:
            break
        found = before
    return str(found)


def is_in(peer: str, networks: Sequence[Network]) -> bool:
    """Return whether *peer* is an address in one of *networks*."""
    found = _address(peer)
    return found is not None and any(found in network for network in networks)


@lru_cache(maxsize=4096)
def _address(text: str) -> _Address | None:
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


def _without_port(entry: str) -> str:
    """The address of `1.2.3.4:80`, `[::1]` and `[::1]:80`, as some proxies write it."""
    if entry.startswith("["):
        return entry[1:].partition("]")[0]
    host, colon, port = entry.partition(":")
    return host if colon and ":" not in port else entry
