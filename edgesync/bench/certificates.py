"""Certificates for the benchmark: one authority, one server, many nodes, one file each."""

import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_BEGINS = datetime(2020, 1, 1, tzinfo=UTC)
_ENDS = datetime(2090, 1, 1, tzinfo=UTC)

ROOT = "root.pem"
SERVER = "server.pem"


def node_id(number: int) -> str:
    """Node id of the node with *number*."""
    return f"bench.n{number}"


def node_file(directory: Path, name: str) -> Path:
    """File with key and certificate of the node with the id *name*."""
    return directory / f"{name}.pem"


def write_certificates(directory: Path, nodes: int, id_of: Callable[[int], str] = node_id) -> None:
    """Write ROOT, SERVER and the `node_file` of every node, key first; all on one key."""
    key = ec.generate_private_key(ec.SECP256R1())
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    root_key = ec.generate_private_key(ec.SECP256R1())
    root_name = _name("benchmark root")
    root = (
        _builder(root_name, root_name, root_key.public_key(), 1)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(root_key, hashes.SHA256())
    )
    (directory / ROOT).write_bytes(root.public_bytes(serialization.Encoding.PEM))
    alternative = x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))])
    server = (
        _builder(_name("localhost"), root_name, key.public_key(), 2)
        .add_extension(alternative, critical=False)
        .sign(root_key, hashes.SHA256())
    )
    (directory / SERVER).write_bytes(secret + server.public_bytes(serialization.Encoding.PEM))
    for number in range(nodes):
        name = id_of(number)
        certificate = _builder(_name(name), root_name, key.public_key(), number + 3).sign(
            root_key, hashes.SHA256()
        )
        pem = certificate.public_bytes(serialization.Encoding.PEM)
        node_file(directory, name).write_bytes(secret + pem)


def server_context(directory: Path) -> ssl.SSLContext:
    """Context of a server that requires a certificate of its nodes."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / SERVER)
    context.load_verify_locations(directory / ROOT)
    context.verify_mode = ssl.CERT_REQUIRED
    context.num_tickets = 0
    return context


def node_context(directory: Path, number: int) -> ssl.SSLContext:
    """Context of one node."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(directory / ROOT)
    context.load_cert_chain(node_file(directory, node_id(number)))
    return context


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, serial: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(serial)
        .not_valid_before(_BEGINS)
        .not_valid_after(_ENDS)
    )
