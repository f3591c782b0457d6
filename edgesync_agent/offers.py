"""A newer agent, as the server offers it: fetched, and believed only if its authority signed it.

What is signed is the manifest, a JSON text with the digest of the program. It is signed by the
intermediate that also signs certificates (docs/protocol.md, "Updates of an agent").
"""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import urllib.error
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgesync_agent.activation import openssl_command, reason_of
from edgesync_agent.certificate import dates, run_openssl
from edgesync_agent.clock import Clock
from edgesync_agent.errors import AgentError
from edgesync_agent.files import write_private
from edgesync_agent.https import get

PATH = "/v1/agent"
KIND = "edgesync-agent"
SIZE_LIMIT = 16 * 1024 * 1024  # bytes of a program


@dataclass(frozen=True)
class Offer:
    """A program that the server's authority has signed at *time*."""

    program: bytes
    digest: str
    time: str


def fetch_offer(home: Path, identity: dict[str, Any], clock: Clock) -> Offer:
    """The server's offer to this node; AgentError if there is none that can be verified."""
    if "activation" not in identity:
        raise AgentError("this node does not know where: run a new installation command")
    folder = home / "identity"
    try:
        answer = get(identity["activation"] + PATH, folder, clock)
        return checked_offer(answer, folder / "ca.pem", clock.now(), openssl_command())
    except urllib.error.HTTPError as error:
        raise AgentError(f"the server offers no agent: {reason_of(error)}") from error
    except OSError as error:
        raise AgentError(f"the server cannot be reached: {error}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise AgentError(f"the server's offer cannot be read: {error!r}") from error


def checked_offer(answer: dict[str, Any], ca: Path, at: float, openssl: str | None) -> Offer:
    """The offer in *answer*; AgentError unless signed by the authority of *ca*, valid *at*."""
    manifest = str(answer["manifest"])
    signature = base64.b64decode(answer["signature"], validate=True)
    folder = ca.with_name("checking-offer")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    try:
        for name, content in (
            ("signer.pem", str(answer["certificate"]).encode()),
            ("manifest", manifest.encode()),
            ("signature", signature),
        ):
            write_private(folder / name, content)
        begins, ends = dates(folder / "signer.pem", openssl)
        if not begins <= at < ends:
            raise AgentError("the certificate that signed the agent is not valid now")
        if openssl:
            _check_by_openssl(folder, ca, at, openssl)
        else:
            _check_by_package(folder, ca)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    content = json.loads(manifest)
    if content["kind"] != KIND:
        raise AgentError("what the server signed is no agent")
    program = base64.b64decode(answer["program"], validate=True)
    digest = hashlib.sha256(program).hexdigest()
    if len(program) > SIZE_LIMIT or digest != content["sha256"]:
        raise AgentError("the agent that the server sent is not the one that was signed")
    return Offer(program, digest, str(content["time"]))


def _check_by_openssl(folder: Path, ca: Path, at: float, openssl: str) -> None:
    signer, key = folder / "signer.pem", folder / "key.pem"
    verify = [openssl, "verify", "-attime", str(int(at)), "-CAfile", str(ca), str(signer)]
    run_openssl(verify)
    # A node's certificate leads to the root as well; only an authority may sign agents.
    if b"CA:TRUE" not in run_openssl([openssl, "x509", "-noout", "-text", "-in", str(signer)]):
        raise AgentError("what signed the agent is no authority")
    write_private(key, run_openssl([openssl, "x509", "-noout", "-pubkey", "-in", str(signer)]))
    signed = ["-signature", str(folder / "signature"), str(folder / "manifest")]
    run_openssl([openssl, "dgst", "-sha256", "-verify", str(key), *signed])


def _check_by_package(folder: Path, ca: Path) -> None:
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

    manifest, signature = ((folder / name).read_bytes() for name in ("manifest", "signature"))
    try:
        signer = x509.load_pem_x509_certificate((folder / "signer.pem").read_bytes())
        signer.verify_directly_issued_by(x509.load_pem_x509_certificate(ca.read_bytes()))
        if not signer.extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
            raise AgentError("what signed the agent is no authority")
        key: Any = signer.public_key()
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, manifest, ec.ECDSA(hashes.SHA256()))
        elif isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, manifest, padding.PKCS1v15(), hashes.SHA256())
        else:
            raise AgentError("the agent is signed by a key of a kind that is not known here")
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound) as error:
        raise AgentError("the agent is not signed by the server's authority") from error
