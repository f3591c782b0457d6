"""The key under which the connections of a client are counted."""

import ipaddress
from functools import lru_cache

_IPV6_PREFIX = 64
"""Bits of an IPv6 address that stand for one site: a host has all of the rest to choose from."""


@lru_cache(maxsize=4096)
def site_of(address: str) -> str:
    """The key of *address*: an IPv6 address is its /64, an IPv4 one in IPv6 itself."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((int(found), _IPV6_PREFIX), strict=False))
    return address
