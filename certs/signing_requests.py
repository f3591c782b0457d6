"""Read what a device asks to have certified (PKCS#10, RFC 2986)."""

from typing import cast

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes

from certs.errors import BadSigningRequest
from certs.keys import PublicKey, weakness_of

SIZE_LIMIT = 16 * 1024
"""Characters of a request, PEM."""


def read_signing_request(pem: str) -> PublicKey:
    """The key of *pem* once it is shown that the sender holds it; BadSigningRequest otherwise.

    Subject and extensions are not looked at: the server decides the contents of a certificate.
    """
    if len(pem) > SIZE_LIMIT:
        raise BadSigningRequest(f"is longer than {SIZE_LIMIT} characters")
    if pem.count("-----BEGIN") > 1:  # the second may be the private key, which must not be sent
        raise BadSigningRequest("is more than one PEM block")
    try:
        request = x509.load_pem_x509_csr(pem.encode())
        key = request.public_key()
    except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion) as error:
        raise BadSigningRequest("is not a PKCS#10 signing request in PEM") from error
    if weakness := weakness_of(key):
        raise BadSigningRequest(weakness)
    if isinstance(_hash_of(request), hashes.SHA1 | hashes.MD5):
        raise BadSigningRequest("is signed with a broken hash")
    if not _is_signed_by_its_key(request):
        raise BadSigningRequest("is not signed by the key it names")
    return cast(PublicKey, key)


def _hash_of(request: x509.CertificateSigningRequest) -> hashes.HashAlgorithm | None:
    try:
        return request.signature_hash_algorithm
    except UnsupportedAlgorithm as error:
        raise BadSigningRequest("is signed in an unknown way") from error


def _is_signed_by_its_key(request: x509.CertificateSigningRequest) -> bool:
    try:
        return request.is_signature_valid
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
        return False
