"""Reads certificates, by openssl or by Python's package cryptography."""

from __future__ import annotations

import shutil
import ssl
import subprocess
import time
from datetime import timezone
from pathlib import Path
from typing import Any

from edgesync_agent.errors import AgentError
from edgesync_agent.files import write_private


def run_openssl(command: list[str], text: bytes = b"") -> bytes:
    """The output of *command*, which reads *text*; AgentError has its errors."""
    try:
        return subprocess.run(command, check=True, capture_output=True, input=text).stdout
    except subprocess.CalledProcessError as error:
        raise AgentError(f"openssl failed: {error.stderr.decode(errors='replace')}") from error


def dates(certificate: Path, openssl: str | None) -> tuple[float, float]:
    """When the certificate begins and ends, in seconds since 1970; AgentError if there is none."""
    if openssl:
        ask = [openssl, "x509", "-noout", "-startdate", "-enddate", "-in", str(certificate)]
        lines = run_openssl(ask).decode().splitlines()
        begins, ends = (ssl.cert_time_to_seconds(line.partition("=")[2]) for line in lines)
        return begins, ends
    from cryptography import x509

    try:
        found = x509.load_pem_x509_certificate(certificate.read_bytes())
    except (OSError, ValueError) as error:
        raise AgentError(f"{certificate} cannot be read: {error}") from error
    begins, ends = (
        getattr(found, f"{name}_utc", None) or getattr(found, name).replace(tzinfo=timezone.utc)
        for name in ("not_valid_before", "not_valid_after")
    )
    return begins.timestamp(), ends.timestamp()


def check(
    given: dict[str, Any], node_id: str, key: Path, ca: Path, at: float, openssl: str | None
) -> str:
    """The certificate (PEM) of *given*, if it is for this node and this key and leads to *ca*.

    It has to be valid *at* that time. AgentError states what is wrong with it.
    """
    folder = key.with_name("checking")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    try:
        certificate, chain = folder / "cert.pem", folder / "chain.pem"
        for path, field in ((certificate, "cert"), (chain, "chain")):
            write_private(path, str(given.get(field, "")).encode())
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate, key)
        except (ssl.SSLError, OSError) as error:
            raise AgentError(f"the new certificate is not one for this key: {error}") from error
        by = _names_by_openssl if openssl else _names_by_package
        if node_id not in by(certificate, chain, ca, at, openssl or ""):
            raise AgentError(f"the new certificate is not of {node_id}")
        begins, ends = dates(certificate, openssl)
        if not begins <= at < ends:
            raise AgentError("the new certificate is not valid now")
        return certificate.read_text()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _names_by_openssl(
    certificate: Path, chain: Path, ca: Path, at: float, openssl: str
) -> list[str]:
    """Common names of a certificate once it is verified."""
    verify = [openssl, "verify", "-purpose", "sslclient", "-attime", str(int(at))]
    run_openssl([*verify, "-CAfile", str(ca), "-untrusted", str(chain), str(certificate)])
    ask = [openssl, "x509", "-noout", "-subject", "-nameopt", "RFC2253", "-in", str(certificate)]
    subject = run_openssl(ask).decode().strip().partition("=")[2].strip()
    return [part[3:] for part in subject.split(",") if part.startswith("CN=")]


def _names_by_package(certificate: Path, chain: Path, ca: Path, _at: float, _: str) -> list[str]:
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature

    try:
        found = x509.load_pem_x509_certificate(certificate.read_bytes())
        issuer = x509.load_pem_x509_certificate(chain.read_bytes())
        found.verify_directly_issued_by(issuer)
        issuer.verify_directly_issued_by(x509.load_pem_x509_certificate(ca.read_bytes()))
    except (ValueError, TypeError, InvalidSignature) as error:
        raise AgentError("the new certificate does not lead to the server's root") from error
    names = found.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return [str(name.value) for name in names]


def now_text(at: float) -> str:
    """A moment for people."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
