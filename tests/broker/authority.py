"""A certificate authority of its own, so that nothing here depends on the package that has one."""

import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_NOW = datetime.fromisoformat("2020-01-01T00:00:00+00:00")
_LATE = datetime(2090, 1, 1, tzinfo=UTC)


class HubAuthority:
    """Issues certificates into *directory*, once for each name."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.root_file = directory / "root.pem"
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test root")])
        self._serial = 1000
        self.serials: dict[str, int] = {}
        root = (
            self._builder(self._name, self._key.public_key(), _LATE)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.root_file.write_bytes(root.public_bytes(serialization.Encoding.PEM))

    def issue(
        self,
        file_name: str,
        names: list[str],
        *,
        is_server: bool = False,
        is_peer: bool = False,
        ends: datetime = _LATE,
    ) -> Path:
        """Issue a certificate with *names* as common names; its PEM file, the key in it."""
        path = self.directory / f"{file_name}.pem"
        if path.exists():
            return path
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name) for name in names])
        usage = ExtendedKeyUsageOID.SERVER_AUTH if is_server else ExtendedKeyUsageOID.CLIENT_AUTH
        usages = [usage, ExtendedKeyUsageOID.CLIENT_AUTH] if is_peer else [usage]
        builder = self._builder(subject, key.public_key(), ends).add_extension(
            x509.ExtendedKeyUsage(usages), critical=False
        )
        if is_server:
            hosts = [x509.DNSName("localhost"), x509.IPAddress(IPv4Address("127.0.0.1"))]
            builder = builder.add_extension(x509.SubjectAlternativeName(hosts), critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        self.serials[file_name] = certificate.serial_number
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        return path

    def revocation_list(self, names: list[str]) -> bytes:
        """A list, PEM, with the certificates issued under *names*."""
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self._name)
            .last_update(_NOW)
            .next_update(_LATE)
        )
        for name in names:
            revoked = x509.RevokedCertificateBuilder().serial_number(self.serials[name])
            builder = builder.add_revoked_certificate(revoked.revocation_date(_NOW).build())
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def server_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self.issue("server", ["localhost"], is_server=True))
        context.load_verify_locations(self.root_file)
        context.verify_mode = ssl.CERT_REQUIRED
        context.num_tickets = 0
        return context

    def client_context(self, node_id: str | None) -> ssl.SSLContext:
        """Context of the node; None: of a client without a certificate."""
        context = ssl.create_default_context(cafile=str(self.root_file))
        if node_id is not None:
            context.load_cert_chain(self.issue(node_id, [node_id]))
        return context

    def expired_context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.root_file))
        ends = _NOW + timedelta(days=1)
        context.load_cert_chain(self.issue("expired", ["default.expired"], ends=ends))
        return context

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey, ends: datetime
    ) -> x509.CertificateBuilder:
        self._serial += 1
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(self._serial)
            .not_valid_before(_NOW)
            .not_valid_after(ends)
        )
