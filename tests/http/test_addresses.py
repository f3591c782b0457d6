"""Where a request is from, with proxies before the server and people who pretend to be some."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.http.addresses import client_address

TRUSTED = [ipaddress.ip_network(text) for text in ("10.0.0.0/8", "2001:db8:ffff::/48")]
PROXY = "10.0.0.1"

texts = st.text(st.characters(codec="latin-1", exclude_characters="\r\n"), max_size=40)
addresses = st.ip_addresses().map(str)


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("192.0.2.1", [], "192.0.2.1"),
        ("192.0.2.1", ["198.51.100.7"], "192.0.2.1"),
        (PROXY, [], PROXY),
        (PROXY, ["198.51.100.7"], "198.51.100.7"),
        (PROXY, ["203.0.113.9, 198.51.100.7"], "198.51.100.7"),
        (PROXY, ["203.0.113.9", "198.51.100.7"], "198.51.100.7"),
        (PROXY, ["198.51.100.7, 10.2.3.4,10.1.1.1"], "198.51.100.7"),
        (PROXY, ["10.2.3.4, 10.1.1.1"], "10.2.3.4"),
        (PROXY, ["198.51.100.7, unknown, 10.1.1.1"], "10.1.1.1"),
        (PROXY, [""], PROXY),
        (PROXY, ["198.51.100.7:4711"], "198.51.100.7"),
        (PROXY, ["2001:db8::7"], "2001:db8::7"),
        (PROXY, ["[2001:db8::7]"], "2001:db8::7"),
        (PROXY, ["[2001:db8::7]:4711"], "2001:db8::7"),
        ("::ffff:10.0.0.1", ["::ffff:198.51.100.7"], "198.51.100.7"),
        ("::ffff:192.0.2.1", ["198.51.100.7"], "192.0.2.1"),
        ("2001:db8:ffff::1", ["2001:0DB8:0::7"], "2001:db8::7"),
        ("fe80::1%eth0", ["198.51.100.7"], "fe80::1%eth0"),
        ("", ["198.51.100.7"], ""),
    ],
)
def test_the_last_address_that_no_trusted_proxy_has(
    peer: str, forwarded: list[str], expected: str
) -> None:
    assert client_address(peer, forwarded, TRUSTED) == expected


@given(st.ip_addresses(v=4, network="192.0.2.0/24").map(str), st.lists(texts | addresses))
def test_only_a_trusted_proxy_changes_the_client_address(peer: str, lines: list[str]) -> None:
    assert client_address(peer, lines, TRUSTED) == peer


@given(st.lists(texts | addresses), st.ip_addresses(v=4, network="192.0.2.0/24").map(str))
def test_what_stands_before_the_callers_address_is_of_no_account(
    invented: list[str], caller: str
) -> None:
    assert client_address(PROXY, [*invented, caller], TRUSTED) == caller
    assert client_address(PROXY, [", ".join([*invented, caller])], TRUSTED) == caller


@given(st.lists(texts))
def test_any_header_can_be_read(lines: list[str]) -> None:
    ipaddress.ip_address(client_address(PROXY, lines, TRUSTED))
