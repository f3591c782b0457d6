from dataclasses import replace
from datetime import timedelta

from cloud.core.certificate import NodeCertificate
from tests.core.strategies import START

KEY, OTHER = "0f" * 32, "a1" * 32
CERTIFICATE = NodeCertificate(2**150, "default.n1", START, START + timedelta(days=90), key=KEY)


def test_a_certificate_admits_the_node_it_was_given_to() -> None:
    assert CERTIFICATE.admits("default.n1", KEY, START)


def test_a_certificate_admits_no_other_node() -> None:
    for other in ("default.n2", "other.n1", "default.n1.b", "DEFAULT.N1", "default.n", ""):
        assert not CERTIFICATE.admits(other, KEY, START)


def test_a_revoked_certificate_is_not_admitted() -> None:
    assert not replace(CERTIFICATE, revoked=START).admits("default.n1", KEY, START)


def test_a_certificate_is_not_admitted_from_its_expiry_on() -> None:
    assert not CERTIFICATE.admits("default.n1", KEY, CERTIFICATE.expires)
    assert CERTIFICATE.admits("default.n1", KEY, CERTIFICATE.expires - timedelta(seconds=1))


def test_a_certificate_admits_no_other_key_and_any_where_none_is_on_record() -> None:
    assert not CERTIFICATE.admits("default.n1", OTHER, START)
    assert not CERTIFICATE.admits("default.n1", "", START)
    assert replace(CERTIFICATE, key="").admits("default.n1", OTHER, START)
