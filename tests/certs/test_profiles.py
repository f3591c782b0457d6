"""What is in each certificate."""

from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given
from hypothesis import strategies as st

from certs.authority import Authority
from certs.keys import new_private_key
from tests.certs.conftest import NOW


def usage_of(certificate: x509.Certificate) -> list[x509.ObjectIdentifier]:
    return list(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)


def constraints_of(certificate: x509.Certificate) -> x509.BasicConstraints:
    extension = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    assert extension.critical
    return extension.value


def test_a_node_certificate_names_the_node_for_90_days_from_an_hour_ago(
    authority: Authority,
) -> None:
    issued = authority.issue_node(new_private_key().public_key(), "default.n1", now=NOW, serial=7)
    certificate = issued.certificate
    [name] = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    assert name.value == "default.n1"
    assert issued.serial == 7
    second = NOW.replace(microsecond=0)
    assert certificate.not_valid_before_utc == second - timedelta(hours=1)
    assert issued.not_after == second + timedelta(days=90)
    assert usage_of(certificate) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert not constraints_of(certificate).ca


def test_only_the_authority_may_sign_and_the_intermediate_nothing_but_leaves(
    authority: Authority,
) -> None:
    assert constraints_of(authority.root) == x509.BasicConstraints(ca=True, path_length=1)
    assert constraints_of(authority.intermediate) == x509.BasicConstraints(ca=True, path_length=0)
    authority.intermediate.verify_directly_issued_by(authority.root)


def test_a_server_certificate_bears_all_names_and_serves_servers_only(authority: Authority) -> None:
    issued = authority.issue_server(
        new_private_key().public_key(), ["a.example", "b"], ["127.0.0.1", "::1"], now=NOW, serial=8
    )
    names = issued.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["a.example", "b"]
    assert [str(a) for a in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]
    assert usage_of(issued.certificate) == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert issued.chain_pem.count("BEGIN CERTIFICATE") == 2
    assert issued.certificate_pem.count("BEGIN CERTIFICATE") == 1


def test_a_node_id_too_long_for_a_common_name_is_refused(authority: Authority) -> None:
    key = new_private_key().public_key()
    authority.issue_node(key, "x" * 64, now=NOW, serial=9)
    with pytest.raises(ValueError, match="64"):
        authority.issue_node(key, "x" * 65, now=NOW, serial=9)


@given(serial=st.integers(min_value=1, max_value=2**159 - 1))
def test_the_same_arguments_give_the_same_contents(serial: int) -> None:
    authority, _ = Authority.create("t", now=NOW, serials=(1, 2))
    key = new_private_key().public_key()
    one, two = (
        authority.issue_node(key, "default.n1", now=NOW, serial=serial).certificate
        for _ in range(2)
    )
    assert one.serial_number == two.serial_number == serial
    assert one.subject == two.subject
    assert list(one.extensions) == list(two.extensions)
