"""A certificate authority for tests; nothing here depends on the package that has a real one."""

import ssl
from datetime import UTC, datetime
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_BEGIN = datetime(2020, 1, 1, tzinfo=UTC)
_END = datetime(2090, 1, 1, tzinfo=UTC)


class SimulatorAuthority:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.root_file = directory / "root.pem"
        self._key = ec.generate_private_key(ec.SECP256R1())
        builder = self._builder("test root", self._key.public_key(), issuer="test root")
        root = builder.add_extension(
            x509.BasicConstraints(ca=True, path_length=0), critical=True
        ).sign(self._key, hashes.SHA256())
        self.root_pem = root.public_bytes(Encoding.PEM).decode()
        self.root_file.write_text(self.root_pem)

    def sign(self, csr_pem: str, node_id: str) -> str:
        """What activation does: the key of the request, a name of the server's own choice."""
        csr = x509.load_pem_x509_csr(csr_pem.encode())
        assert csr.is_signature_valid
        return self.certificate(node_id, csr.public_key())

    def certificate(
        self, name: str, key: CertificatePublicKeyTypes, *, is_server: bool = False
    ) -> str:
        usage = ExtendedKeyUsageOID.SERVER_AUTH if is_server else ExtendedKeyUsageOID.CLIENT_AUTH
        builder = self._builder(name, key, issuer="test root").add_extension(
            x509.ExtendedKeyUsage([usage]), critical=False
        )
        if is_server:
            # Not "localhost": tests connect to that to see host names checked.
            hosts = x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))])
            builder = builder.add_extension(hosts, critical=False)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()

    def issue(self, name: str, *, is_server: bool = False) -> tuple[Path, Path]:
        """Files with a certificate and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate_file = self.directory / f"{name}.pem"
        key_file = self.directory / f"{name}.key"
        certificate_file.write_text(self.certificate(name, key.public_key(), is_server=is_server))
        key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return certificate_file, key_file

    def client_context(self, name: str) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.root_file))
        context.load_cert_chain(*self.issue(name))
        return context

    @staticmethod
    def _builder(
        name: str, key: CertificatePublicKeyTypes, *, issuer: str
    ) -> x509.CertificateBuilder:
        def named(text: str) -> x509.Name:
            return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

        return (
            x509.CertificateBuilder()
            .subject_name(named(name))
            .issuer_name(named(issuer))
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(_BEGIN)
            .not_valid_after(_END)
        )
