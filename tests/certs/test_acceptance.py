"""What an operator may bring for an authority."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from certs.acceptance import check_signer
from certs.authority import Authority, Signer
from certs.errors import NotAnAuthority
from certs.files import ensure_server_certificate
from certs.keys import SigningKey, key_pem, new_private_key
from certs.tls import client_context, node_listener_context
from tests.certs.conftest import NOW
from tests.certs.test_tls import handshake

DAY = timedelta(days=1)


def usage(**wanted: bool) -> x509.KeyUsage:
    names = ["digital_signature", "content_commitment", "key_encipherment", "data_encipherment"]
    names += ["key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"]
    return x509.KeyUsage(**{name: wanted.get(name, False) for name in names})


def certificate(
    subject: str,
    key: SigningKey,
    issuer: str = "",
    issuer_key: SigningKey | None = None,
    *,
    ca: bool = True,
    path_length: int | None = None,
    key_usage: x509.KeyUsage | None = None,
    purposes: Sequence[x509.ObjectIdentifier] = (),
    begins: datetime = NOW - DAY,
    ends: datetime = NOW + 400 * DAY,
) -> x509.Certificate:
    def name(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)] if text else [])

    # Not derived from the key as ours is: certificates have to go by what stands here.
    called = x509.SubjectKeyIdentifier(b"called " + subject.encode())
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name(issuer or subject))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
        .add_extension(x509.BasicConstraints(ca, path_length), critical=True)
        .add_extension(key_usage or usage(key_cert_sign=True, crl_sign=True), critical=True)
        .add_extension(called, critical=False)
    )
    if purposes:
        builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
    return builder.sign(issuer_key or key, hashes.SHA256())


ROOT_KEY, KEY = new_private_key(), rsa.generate_private_key(65537, 2048)
ROOT = certificate("our root", ROOT_KEY)


def brought(**changes: Any) -> Signer:
    arguments = {"subject": "ours", "key": KEY, "issuer": "our root", "issuer_key": ROOT_KEY}
    return Signer(certificate(**{**arguments, **changes}), KEY)


def test_an_authority_of_a_foreign_make_signs_for_servers_and_nodes(tmp_path: Path) -> None:
    signer = brought(path_length=0)
    check_signer(ROOT, signer, now=NOW)
    authority = Authority(ROOT, signer.certificate, signer.key)
    files = ensure_server_certificate(tmp_path, authority, ["localhost"], [], now=NOW)
    key = new_private_key()
    issued = authority.issue_node(key.public_key(), "default.n1", now=NOW, serial=3)
    (tmp_path / "node.pem").write_text(issued.certificate_pem)
    (tmp_path / "node.key").write_bytes(key_pem(key))
    listener = node_listener_context(files.certificate_file, files.key_file, authority.trusted_pem)
    client = client_context(authority.root_pem, tmp_path / "node.pem", tmp_path / "node.key")
    assert handshake(listener, client).getpeercert() is not None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"ca": False}, "no CA"),
        ({"key_usage": usage(digital_signature=True)}, "keyCertSign"),
        ({"key_usage": usage(key_cert_sign=True)}, "cRLSign"),
        ({"purposes": [ExtendedKeyUsageOID.SERVER_AUTH]}, "clientAuth"),
        ({"begins": NOW - 3 * DAY, "ends": NOW - DAY}, "valid from"),
        ({"begins": NOW + DAY}, "valid from"),
        ({"issuer_key": new_private_key()}, "has not signed the intermediate"),
        ({"subject": "", "issuer": "our root"}, "no name"),
        ({"key": new_private_key()}, "not that of the intermediate"),
        ({"key": ec.generate_private_key(ec.SECP521R1())}, "secp521r1"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_authority_that_cannot_sign_is_refused_with_the_reason(
    changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(NotAnAuthority) as caught:
        check_signer(ROOT, brought(**changes), now=NOW)
    assert reason in caught.value.reason


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"path_length": 0}, "path length"),
        ({"issuer": "above", "issuer_key": KEY}, "has not signed itself"),
        ({"issuer_key": KEY}, "has not signed itself"),
        ({"ca": False}, "the root is no CA"),
        ({"ends": NOW - timedelta(hours=1)}, "the root is valid"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_root_that_cannot_be_one_is_refused(changes: dict[str, Any], reason: str) -> None:
    root = certificate(**{"subject": "our root", "key": ROOT_KEY, **changes})
    with pytest.raises(NotAnAuthority) as caught:
        check_signer(root, brought(), now=NOW)
    assert reason in caught.value.reason
