"""What stands for an address where clients are counted, on every port."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.addresses import network_of, site_of


@given(st.ip_addresses(v=6, network="2001:db8:1:2::/64"))
def test_all_addresses_of_one_ipv6_network_are_one(address: ipaddress.IPv6Address) -> None:
    assert site_of(str(address)) == site_of("2001:db8:1:2::") == "2001:db8:1:2::/64"
    assert site_of("2001:db8:1:3::") != site_of(str(address))


@pytest.mark.parametrize("address", ["", "192.0.2.1", "no address"])
def test_any_other_address_is_one_of_its_own(address: str) -> None:
    assert site_of(address) == address


@pytest.mark.parametrize(
    ("address", "site"), [("::ffff:192.0.2.7", "192.0.2.7"), ("fe80::1%eth0", "fe80::/64")]
)
def test_other_ways_to_write_an_address(address: str, site: str) -> None:
    assert site_of(address) == site


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("2001:db8:1:ff00::7", "2001:db8:1::/48"),
        ("2001:db8:1::", "2001:db8:1::/48"),
        ("2001:db8:2::", "2001:db8:2::/48"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("192.0.2.7", "192.0.2.7"),
        ("", ""),
    ],
)
def test_a_network_is_what_one_customer_can_have(address: str, network: str) -> None:
    assert network_of(address) == network
