"""Who may not have a certificate asks for one, over real HTTPS; each leaves nothing behind."""

import base64
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from tests.end_to_end.conftest import Server, claim_for, make_batch, make_csr, running_server
from tests.end_to_end.test_activation import assert_refused, post


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("attackers") / "data") as running:
        yield running


@pytest.fixture
def api(server: Server) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client


def request_for(key: Any, name: str = "machine") -> x509.CertificateSigningRequest:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    return builder.sign(key, hashes.SHA256())


def pem(request: x509.CertificateSigningRequest) -> str:
    return request.public_bytes(Encoding.PEM).decode()


def forged() -> str:
    """The signature is of another request for the same key."""
    der = bytearray(request_for(ec.generate_private_key(ec.SECP256R1())).public_bytes(Encoding.DER))
    place = der.index(b"machine")
    der[place : place + 7] = b"another"
    text = base64.encodebytes(bytes(der)).decode()
    return f"-----BEGIN CERTIFICATE REQUEST-----\n{text}-----END CERTIFICATE REQUEST-----\n"


BAD_REQUESTS: dict[str, Callable[[], str]] = {
    "weak RSA": lambda: pem(request_for(rsa.generate_private_key(65537, 1024))),  # noqa: S505
    "weak curve": lambda: pem(request_for(ec.generate_private_key(ec.SECP192R1()))),
    "DSA": lambda: pem(request_for(dsa.generate_private_key(2048))),
    "signed for something else": forged,
    "no request": lambda: "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    "two": lambda: make_csr()[1] * 2,
}


@pytest.mark.parametrize("kind", BAD_REQUESTS)
def test_a_bad_signing_request_is_refused_and_takes_no_place(
    server: Server, api: httpx.Client, kind: str
) -> None:
    name = f"bad-{list(BAD_REQUESTS).index(kind)}"
    batch = make_batch(api, name)
    answer = post(server, claim_for(batch, name, BAD_REQUESTS[kind]()))
    assert_refused(answer, 400, "RequestParamInvalid", "csr")
    assert api.get(f"/v1/register/{name}/record").json()["total"] == 0
    assert api.get(f"/v1/nodes/{name}").status_code == 404


@pytest.mark.parametrize("wanted", ["default.victim", "edgesync intermediate", "localhost"])
def test_a_name_that_is_asked_for_is_not_what_is_given(
    server: Server, api: httpx.Client, wanted: str
) -> None:
    name = "asks-" + wanted.partition(".")[0].replace(" ", "-")
    key = ec.generate_private_key(ec.SECP256R1())
    answer = post(server, claim_for(make_batch(api, name), name, pem(request_for(key, wanted))))
    given = x509.load_pem_x509_certificate(answer.json()["certificate"]["cert"].encode())
    (own,) = given.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    assert own.value == f"default.{name}"
    assert not given.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_a_replayed_activation_is_of_use_to_its_owner_alone(
    server: Server, api: httpx.Client
) -> None:
    batch = make_batch(api, "replayed")
    key, csr = make_csr()
    recorded = claim_for(batch, "replayed", csr)
    assert post(server, recorded).status_code == 200
    again = post(server, recorded).json()
    given = x509.load_pem_x509_certificate(again["certificate"]["cert"].encode())
    assert given.public_key() == key.public_key()
    assert again["certificate"]["key"] == ""
    assert api.get("/v1/register/replayed/record").json()["total"] == 1
    _, other = make_csr()
    assert_refused(post(server, {**recorded, "csr": other}), 400, "RegisterRecordActivated")


def test_the_same_words_and_much_the_same_head_for_every_guess(
    server: Server, api: httpx.Client
) -> None:
    batch = make_batch(api, "guessed", enableWhitelist=1)
    _, csr = make_csr()
    good = claim_for(batch, "sn-1", csr)
    seen = set()
    for wrong in ({"batchName": "x"}, {"securityValue": "x"}, {"fingerprintValue": "x"}):
        answer = post(server, {**good, **wrong})
        body = {**answer.json(), "request-id": "", "time": ""}
        named = {k: v for k, v in answer.headers.items() if k not in {"date", "x-bce-request-id"}}
        seen.add((answer.status_code, str(body), str(named)))
    assert len(seen) == 1
