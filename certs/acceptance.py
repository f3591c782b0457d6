"""Checks of an operator's own authority before it replaces the present one."""

from datetime import datetime
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import ExtendedKeyUsageOID

from certs.authority import Signer
from certs.errors import NotAnAuthority
from certs.keys import weakness_of

_PURPOSES = {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH}

E = TypeVar("E", bound=x509.ExtensionType)


def check_signer(root: x509.Certificate, signer: Signer, *, now: datetime) -> None:
    """NotAnAuthority unless *signer* can sign for nodes and servers that trust *root* alone."""
    for name, certificate in (("the root", root), ("the intermediate", signer.certificate)):
        _check_may_sign(name, certificate)
        _check_dates(name, certificate, now)
        if weakness := weakness_of(certificate.public_key()):
            raise NotAnAuthority(f"{name}: {weakness}")
    if root.subject != root.issuer or not _has_signed(root, root):
        raise NotAnAuthority("the root has not signed itself; agents trust nothing else")
    if not _has_signed(root, signer.certificate):
        raise NotAnAuthority("the root has not signed the intermediate")
    if _path_length(root) == 0:
        raise NotAnAuthority("the root's path length of 0 leaves no room for an intermediate")
    _check_purposes(signer.certificate)
    if signer.key.public_key() != signer.certificate.public_key():
        raise NotAnAuthority("the key is not that of the intermediate")


def _check_may_sign(name: str, certificate: x509.Certificate) -> None:
    constraints = _extension(certificate, x509.BasicConstraints)
    if constraints is None or not constraints.ca:
        raise NotAnAuthority(f"{name} is no CA: it has no basic constraints with CA true")
    usage = _extension(certificate, x509.KeyUsage)
    if usage is not None and not (usage.key_cert_sign and usage.crl_sign):
        raise NotAnAuthority(f"{name} needs the key usages keyCertSign and cRLSign")
    if not list(certificate.subject):
        raise NotAnAuthority(f"{name} has no name")


def _check_dates(name: str, certificate: x509.Certificate, now: datetime) -> None:
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if not begins <= now < ends:
        raise NotAnAuthority(f"{name} is valid from {begins} to {ends} only")


def _check_purposes(certificate: x509.Certificate) -> None:
    purposes = _extension(certificate, x509.ExtendedKeyUsage)
    if purposes is None or ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in purposes:
        return
    if not set(purposes) >= _PURPOSES:
        raise NotAnAuthority(
            "the intermediate's extended key usage leaves out clientAuth or serverAuth"
        )


def _path_length(certificate: x509.Certificate) -> int | None:
    constraints = _extension(certificate, x509.BasicConstraints)
    return constraints.path_length if constraints else None


def _has_signed(issuer: x509.Certificate, certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def _extension(certificate: x509.Certificate, kind: type[E]) -> E | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None
