"""What stands for a client's address where clients are counted."""

import ipaddress
from functools import lru_cache

_IPV6_PREFIX = 64
"""Bits of an IPv6 address that stand for one site: a host has all of the rest to choose from."""


@lru_cache(maxsize=4096)
def site_of(address: str) -> str:
    """What *address* is counted as: an IPv6 address as its /64, an IPv4 one in IPv6 as itself."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((int(found), _IPV6_PREFIX), strict=False))
    return address
