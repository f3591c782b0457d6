"""TLS contexts made of an authority's files: TLS 1.2 or newer, each side verified."""

import ssl
from pathlib import Path


def node_listener_context(
    certificate_file: Path, key_file: Path, trusted_pem: str
) -> ssl.SSLContext:
    """For a listener that takes nodes: a client certificate signed under *trusted_pem* is required.

    *trusted_pem* has to hold root and intermediate, because nodes send their own certificate only.
    """
    return _asking(certificate_file, key_file, trusted_pem, ssl.CERT_REQUIRED)


def open_listener_context(
    certificate_file: Path, key_file: Path, trusted_pem: str
) -> ssl.SSLContext:
    """As `node_listener_context`, but a client certificate is optional; verified if presented.

    A certificate that has ended ends the handshake, as a foreign one does.
    """
    return _asking(certificate_file, key_file, trusted_pem, ssl.CERT_OPTIONAL)


def _asking(
    certificate_file: Path, key_file: Path, trusted_pem: str, mode: ssl.VerifyMode
) -> ssl.SSLContext:
    context = server_context(certificate_file, key_file)
    context.load_verify_locations(cadata=trusted_pem)
    context.verify_mode = mode
    # An intermediate of ours is trusted itself: the signature of the root is not verified again.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    # Tickets would let a node come back without showing its certificate to us, and cost memory.
    context.num_tickets = 0
    context.options |= ssl.OP_NO_TICKET
    return context


def server_context(certificate_file: Path, key_file: Path) -> ssl.SSLContext:
    """For HTTPS without client certificates."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.load_cert_chain(certificate_file, key_file)
    return context


def client_context(
    root_pem: str, certificate_file: Path | None = None, key_file: Path | None = None
) -> ssl.SSLContext:
    """For a client that trusts *root_pem* alone, with a certificate of its own or without."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(cadata=root_pem)
    if certificate_file is not None:
        context.load_cert_chain(certificate_file, key_file)
    return context
