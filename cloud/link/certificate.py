"""The form in which a certificate is sent to a device."""

from collections.abc import Mapping
from typing import Any

from certs.errors import BadSigningRequest
from certs.keys import PublicKey
from certs.signing_requests import read_signing_request
from cloud.errors import Invalid
from cloud.operations.activation import Activation


def requested_key(csr: str, *, field: str) -> PublicKey:
    """The key that *csr* (PEM) asks to have certified; Invalid names the *field* it came in."""
    try:
        return read_signing_request(csr)
    except BadSigningRequest as error:
        raise Invalid(field, error.reason) from error


def certificate_map(
    activation: Activation, root_pem: str, *, private_pem: str = ""
) -> Mapping[str, Any]:
    """One certificate, with all fields that agents read (docs/protocol.md, "Activation")."""
    return {
        "ca": root_pem,
        "cert": activation.certificate_pem,
        "chain": activation.issuer_pem,
        "key": private_pem,
        "name": "",
        "passphrase": "",
        "insecureSkipVerify": False,
        "clientAuthType": 0,
    }
