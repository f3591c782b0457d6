"""The content of each certificate; pure: clock and serial number are arguments (RFC 5280)."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self, cast

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from certs.keys import PublicKey

BACKDATE = timedelta(hours=1)
"""How far the beginning lies in the past, for clocks that run behind."""

ROOT_LIFETIME = timedelta(days=20 * 365)
INTERMEDIATE_LIFETIME = timedelta(days=10 * 365)
SERVER_LIFETIME = timedelta(days=397)
"""The longest that clients in the field accept."""
NODE_LIFETIME = timedelta(days=90)

ORGANISATION = "edgesync"


@dataclass(frozen=True, slots=True)
class Issuer:
    """Who signs: its name, how its key is called, and the last moment it is valid."""

    name: x509.Name
    key: x509.AuthorityKeyIdentifier
    ends: datetime

    @classmethod
    def of(cls, certificate: x509.Certificate) -> Self:
        """The owner of *certificate*, with the key identifier that the certificate has."""
        try:
            own = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
            key = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)
        except x509.ExtensionNotFound:
            key = key_identifier(cast(PublicKey, certificate.public_key()))
        return cls(certificate.subject, key, certificate.not_valid_after_utc)


def key_identifier(key: PublicKey) -> x509.AuthorityKeyIdentifier:
    """The authority key identifier of the *key* that signed (RFC 5280, 4.2.1.2)."""
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(key)


def root(
    public_key: PublicKey, label: str, *, now: datetime, serial: int
) -> x509.CertificateBuilder:
    """Anchor of trust; *label* tells one installation's root from another's."""
    name = _name(f"edgesync root {label}")
    itself = Issuer(name, key_identifier(public_key), now + ROOT_LIFETIME)
    builder = _base(name, itself, public_key, ROOT_LIFETIME, now, serial)
    return _certificate_authority(builder, path_length=1)


def intermediate_name(label: str) -> x509.Name:
    """Name of an intermediate; each has its own, so that lists and paths are never mixed up."""
    return _name(f"edgesync intermediate {label}")


def intermediate(
    public_key: PublicKey, label: str, issuer: Issuer, *, now: datetime, serial: int
) -> x509.CertificateBuilder:
    """Signs servers and nodes, and no further authority."""
    name = intermediate_name(label)
    builder = _base(name, issuer, public_key, INTERMEDIATE_LIFETIME, now, serial)
    return _certificate_authority(builder, path_length=0)


def server(
    public_key: PublicKey,
    dns_names: Sequence[str],
    ip_addresses: Sequence[str],
    issuer: Issuer,
    *,
    now: datetime,
    serial: int,
    is_peer: bool = False,
) -> x509.CertificateBuilder:
    """A server under these names and addresses (RFC 6125: the common name counts nothing).

    *is_peer* if it connects to others of its kind too, with this certificate.
    """
    common_name = next(iter([*dns_names, *ip_addresses]))[:64]
    names: list[x509.GeneralName] = [x509.DNSName(name) for name in dns_names]
    names += [x509.IPAddress(ipaddress.ip_address(address)) for address in ip_addresses]
    builder = _base(_name(common_name), issuer, public_key, SERVER_LIFETIME, now, serial)
    builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    purposes = [ExtendedKeyUsageOID.SERVER_AUTH]
    return _end_entity(builder, *purposes, *([ExtendedKeyUsageOID.CLIENT_AUTH] if is_peer else ()))


def broker_client(
    public_key: PublicKey, name: str, issuer: Issuer, *, now: datetime, serial: int
) -> x509.CertificateBuilder:
    """A server where it is a client: of the broker that nodes connect to, under that *name*."""
    builder = _base(_name(name), issuer, public_key, SERVER_LIFETIME, now, serial)
    return _end_entity(builder, ExtendedKeyUsageOID.CLIENT_AUTH)


def node(
    public_key: PublicKey, node_id: str, issuer: Issuer, *, now: datetime, serial: int
) -> x509.CertificateBuilder:
    """A node; its common name is its identity everywhere, 64 characters at most (X.520)."""
    builder = _base(_name(node_id), issuer, public_key, NODE_LIFETIME, now, serial)
    identity = x509.UniformResourceIdentifier(f"urn:edgesync:node:{node_id}")
    builder = builder.add_extension(x509.SubjectAlternativeName([identity]), critical=False)
    return _end_entity(builder, ExtendedKeyUsageOID.CLIENT_AUTH)


def _name(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, ORGANISATION),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def _base(
    subject: x509.Name,
    issuer: Issuer,
    public_key: PublicKey,
    lifetime: timedelta,
    now: datetime,
    serial: int,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.name)
        .public_key(public_key)
        .serial_number(serial)
        .not_valid_before(now - BACKDATE)
        .not_valid_after(min(now + lifetime, issuer.ends))  # worth nothing without its issuer
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(issuer.key, critical=False)
    )


def _certificate_authority(
    builder: x509.CertificateBuilder, *, path_length: int
) -> x509.CertificateBuilder:
    constraints = x509.BasicConstraints(ca=True, path_length=path_length)
    usage = _key_usage(key_cert_sign=True, crl_sign=True)
    return builder.add_extension(constraints, critical=True).add_extension(usage, critical=True)


def _end_entity(
    builder: x509.CertificateBuilder, *purposes: x509.ObjectIdentifier
) -> x509.CertificateBuilder:
    constraints = x509.BasicConstraints(ca=False, path_length=None)
    return (
        builder.add_extension(constraints, critical=True)
        .add_extension(_key_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
    )


def _key_usage(
    *, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        encipher_only=False,
        decipher_only=False,
    )
