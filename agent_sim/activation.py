"""Turn a key into a certificate: the one HTTPS request of a node (docs/protocol.md, "Activation").

Nothing is retried here; the caller decides when.
"""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from agent_sim.errors import ActivationRefused, ActivationUnanswered, ActivationUnreadable
from agent_sim.sealing import SealingKey
from agent_sim.state import NodeIdentity
from broker.topics import is_node_id_level

PATH = "/v1/active"
TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivationClaim:
    """Who wants a certificate, and why it should get one; without a *token* the type is `None`."""

    batch: str
    fingerprint: str
    namespace: str = "default"
    token: str | None = None


class _Certificate(msgspec.Struct):
    ca: str
    cert: str


class _Answer(msgspec.Struct, rename="camel"):
    node_name: str
    namespace: str
    mqtt_cert: _Certificate


class _Refusal(msgspec.Struct):
    code: str = ""
    message: str = ""


@asynccontextmanager
async def open_client(url: str, trust: ssl.SSLContext) -> AsyncIterator[httpx.AsyncClient]:
    """Open a client for the server at *url*, `https://host:port`; proxies are not asked."""
    async with httpx.AsyncClient(
        base_url=url, verify=trust, trust_env=False, timeout=TIMEOUT_SECONDS
    ) as client:
        yield client


def signing_request(key: ec.EllipticCurvePrivateKey, name: str) -> str:
    """Build a CSR in PEM; the server decides the name, ours is for those who read logs."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64] or "node")])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode("ascii")


async def activate(
    client: httpx.AsyncClient,
    claim: ActivationClaim,
    key: ec.EllipticCurvePrivateKey,
    sealing: SealingKey | None = None,
) -> NodeIdentity:
    """Ask for a certificate for *key*; ActivationError has the reason if there is none.

    Secrets are sealed to *sealing* from then on.
    """
    body: dict[str, Any] = {
        "batchName": claim.batch,
        "namespace": claim.namespace,
        "fingerprintValue": claim.fingerprint,
        "securityType": "None" if claim.token is None else "Token",
        "securityValue": claim.token or "",
        "csr": signing_request(key, claim.fingerprint),
    }
    if sealing is not None:
        body["encryptionKey"] = sealing.proof
    try:
        response = await client.post(PATH, json=body)
    except httpx.HTTPError as error:
        reason = str(error) or type(error).__name__
        raise ActivationUnanswered(str(client.base_url), reason) from error
    if response.status_code != httpx.codes.OK:
        raise refused(response)
    return _identity(response.content, key)


def refused(response: httpx.Response) -> ActivationRefused:
    """Read the refusal in *response*."""
    try:
        refusal = msgspec.json.decode(response.content, type=_Refusal)
    except (msgspec.MsgspecError, ValueError):
        refusal = _Refusal(message=response.text[:200])
    return ActivationRefused(response.status_code, refusal.code, refusal.message)


def _identity(content: bytes, key: ec.EllipticCurvePrivateKey) -> NodeIdentity:
    try:
        answer = msgspec.json.decode(content, type=_Answer)
        certificate = x509.load_pem_x509_certificate(answer.mqtt_cert.cert.encode())
        x509.load_pem_x509_certificate(answer.mqtt_cert.ca.encode())
    except (msgspec.MsgspecError, ValueError) as error:
        raise ActivationUnreadable(str(error)) from error
    node_id = f"{answer.namespace}.{answer.node_name}"
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if not is_node_id_level(node_id) or [name.value for name in names] != [node_id]:
        raise ActivationUnreadable(f"the certificate is not of {node_id}")
    if public_bytes(certificate.public_key()) != public_bytes(key.public_key()):
        raise ActivationUnreadable("the certificate is of another key")
    return NodeIdentity(node_id, answer.mqtt_cert.cert, answer.mqtt_cert.ca)


def public_bytes(key: CertificatePublicKeyTypes) -> bytes:
    """Write *key* as certificates hold it."""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
