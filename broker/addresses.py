"""The key under which the connections of a client are counted."""

import ipaddress
from functools import lru_cache

_SITE_BITS = 64
"""Bits of an IPv6 address that stand for one site: a host has all of the rest to choose from."""

_NETWORK_BITS = 48
"""Bits of an IPv6 address that stand for one customer of a provider, at least (RFC 6177)."""


@lru_cache(maxsize=4096)
def site_of(address: str) -> str:
    """The key of *address*: an IPv6 address is its /64, an IPv4 one in IPv6 itself."""
    return _key_of(address, _SITE_BITS)


@lru_cache(maxsize=4096)
def network_of(address: str) -> str:
    """As `site_of`, but an IPv6 address is its /48: for places that few callers could fill."""
    return _key_of(address, _NETWORK_BITS)


def _key_of(address: str, bits: int) -> str:
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((int(found), bits), strict=False))
    return address
