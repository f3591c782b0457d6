"""Enrollment over Secure Transport (RFC 7030, 8951) on the activation port.

A client without a certificate authenticates as in activation, by HTTP Basic: the user name is the
batch (`BATCH` or `NAMESPACE/BATCH`) and the password its token, or there is no user name and the
password is an install token. The common name of the signing request is then the fingerprint of the
device, and no more than that: the server decides the name, as in activation.
"""

import base64
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import wraps

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from certs.authority import Authority
from certs.keys import PublicKey
from cloud.core.batch import SecurityType
from cloud.errors import Denied, Invalid, UnknownMediaType
from cloud.http.answers import bytes_response
from cloud.http.errors import error_response
from cloud.http.peer import peer_certificate
from cloud.http.requests import error_context, read_body
from cloud.http.routing import CheckedRoute
from cloud.link.certificate import requested_key
from cloud.link.renewal import BODY_LIMIT, Renewals
from cloud.operations.activation import Activation, Claim

PREFIX = "/.well-known/est"
REQUEST_TYPE = "application/pkcs10"
CERTS_ONLY = "application/pkcs7-mime; smime-type=certs-only"


@dataclass(frozen=True, slots=True)
class SigningRequest:
    """A body as it came, base64 regardless of its headers (RFC 8951); not yet decoded."""

    body: bytes

    def read(self, claim: Claim) -> tuple[PublicKey, Claim]:
        """The key, and *claim* with the common name as its fingerprint; Invalid has the reason."""
        try:
            der = base64.b64decode(b"".join(self.body.split()), validate=True)
            request = x509.load_der_x509_csr(der)
            csr = request.public_bytes(Encoding.PEM).decode()
        except (ValueError, x509.InvalidVersion) as error:
            raise Invalid("", "the body is not a PKCS#10 signing request in base64") from error
        key = requested_key(csr, field="")
        try:
            names = request.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        except ValueError as error:
            raise Invalid("", "the subject of the signing request cannot be read") from error
        name = str(names[0].value) if names else ""
        return key, msgspec.structs.replace(claim, fingerprint_value=name)


Enrol = Callable[[Request, Claim, SigningRequest], Awaitable[Activation]]
"""Makes who claims to be a device a node; what is refused is raised, a wrong token first."""

Noting = Callable[[Request, Claim], AbstractAsyncContextManager[None]]
"""Writes down what the block refuses who claims so much."""

_Handler = Callable[[Request], Awaitable[Response]]


def est_routes(
    authority: Authority, renewals: Renewals, enrol: Enrol, noting: Noting
) -> list[Route]:
    """The three operations that RFC 7030 demands of a server (3.2.2)."""

    async def ca_certificates(_: Request) -> Response:
        return _certs_only(authority.trusted_pem)

    @_challenging
    async def enroll(request: Request) -> Response:
        async with noting(request, Claim()):
            user, password = _credentials(request.headers)
        namespace, _, batch = user.rpartition("/")
        async with noting(request, Claim(batch_name=batch, namespace=namespace)):
            csr = await _signing_request(request)
        token, secret = ("", password) if user else (password, "")
        kind = SecurityType.TOKEN if secret else SecurityType.NONE
        claim = Claim(
            batch_name=batch,
            namespace=namespace,
            security_type=kind.value,
            security_value=secret,
            install_token=token,
        )
        return _certs_only((await enrol(request, claim, csr)).certificate_pem)

    @_challenging
    async def reenroll(request: Request) -> Response:
        peer = peer_certificate(request)
        if peer is None:
            raise Denied("show the node's certificate in the TLS handshake")
        key, _ = (await _signing_request(request)).read(Claim())
        return _certs_only((await renewals.renew_shown(request, peer, key)).certificate_pem)

    return [
        CheckedRoute(f"{PREFIX}/cacerts", ca_certificates),
        CheckedRoute(f"{PREFIX}/simpleenroll", enroll, methods=["POST"]),
        CheckedRoute(f"{PREFIX}/simplereenroll", reenroll, methods=["POST"]),
    ]


def _challenging(handler: _Handler) -> _Handler:
    """Ask for what this protocol proves itself with, not for what the API does (3.2.3)."""

    @wraps(handler)
    async def challenging(request: Request) -> Response:
        try:
            return await handler(request)
        except Denied as error:
            answer = error_response(error, error_context(request.scope), request.headers)
            answer.headers["WWW-Authenticate"] = 'Basic realm="edgesync"'
            return answer

    return challenging


def _credentials(headers: Headers) -> tuple[str, str]:
    """User name and password of HTTP Basic (RFC 7617); Denied where there is none."""
    scheme, _, value = headers.get("authorization", "").partition(" ")
    try:
        if scheme.lower() != "basic":
            raise Denied("batch and token are missing (HTTP Basic)")
        pair = base64.b64decode(value.strip(), validate=True).decode()
    except ValueError as error:
        raise Denied("the credentials cannot be read (HTTP Basic)") from error
    user, _, password = pair.partition(":")
    if not (user or password):
        raise Denied("batch and token are missing (HTTP Basic)")
    return user, password


async def _signing_request(request: Request) -> SigningRequest:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != REQUEST_TYPE:
        raise UnknownMediaType(REQUEST_TYPE)
    return SigningRequest(await read_body(request, BODY_LIMIT))


def _certs_only(pem: str) -> Response:
    """The certificates of *pem* as CMS with nothing else in it, base64 (4.1.3, 4.2.3)."""
    certificates = x509.load_pem_x509_certificates(pem.encode())
    from cryptography.hazmat.primitives.serialization import pkcs7

    der = pkcs7.serialize_certificates(certificates, Encoding.DER)
    answer = bytes_response(base64.encodebytes(der), media_type=CERTS_ONLY)
    answer.headers["Content-Transfer-Encoding"] = "base64"
    return answer
