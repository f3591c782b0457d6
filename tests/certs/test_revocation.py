"""Lists of revoked certificates."""

import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from certs.authority import Authority
from certs.errors import AuthorityNotValid
from certs.keys import new_private_key
from certs.revocation import LIFETIME, Revoked
from tests.certs.conftest import NOW

HOUR = timedelta(hours=1)


def lists(authority: Authority, *revoked: Revoked, number: int = 7) -> bytes:
    made = authority.revocation_lists(revoked, number=number, issued=NOW - HOUR, now=NOW)
    return b"".join(one.public_bytes(Encoding.PEM) for one in made)


def test_a_list_has_what_was_revoked_when_and_its_lifetime(
    authority: Authority,
) -> None:
    second = NOW.replace(microsecond=0)
    made = x509.load_pem_x509_crl(lists(authority, Revoked(2**150, second), number=41))
    assert made.is_signature_valid(authority.key.public_key())
    assert made.issuer == authority.intermediate.subject
    assert [(one.serial_number, one.revocation_date_utc) for one in made] == [(2**150, second)]
    assert made.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number == 41
    assert made.last_update_utc == second - HOUR
    assert made.next_update_utc == second + LIFETIME


def test_no_list_outlives_its_authority(authority: Authority) -> None:
    ends = authority.intermediate.not_valid_after_utc
    now = ends - HOUR
    [made] = authority.revocation_lists([], number=1, issued=now, now=now)
    assert made.next_update_utc == ends
    with pytest.raises(AuthorityNotValid):
        authority.revocation_lists([], number=1, issued=ends, now=ends)


def test_openssl_refuses_what_is_on_the_list_and_nothing_else(
    tmp_path: Path, authority: Authority
) -> None:
    root, crl = tmp_path / "trusted.pem", tmp_path / "crl.pem"
    root.write_text(authority.trusted_pem)
    crl.write_bytes(lists(authority, Revoked(77, NOW)))
    for serial, refusal in ((77, "certificate revoked"), (78, "")):
        leaf = tmp_path / f"{serial}.pem"
        issued = authority.issue_node(
            new_private_key().public_key(), "default.n1", now=NOW, serial=serial
        )
        leaf.write_text(issued.certificate_pem)
        command = ["openssl", "verify", "-x509_strict", "-crl_check"]
        command += ["-CAfile", str(root), "-CRLfile", str(crl), str(leaf)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert (done.returncode != 0) is bool(refusal), done.stderr
        assert refusal in done.stderr


def test_thirty_thousand_entries_are_one_list(authority: Authority) -> None:
    revoked = [Revoked(serial, NOW) for serial in range(1, 30_001)]
    assert len(x509.load_pem_x509_crl(lists(authority, *revoked))) == 30_000
