"""EST (RFC 7030), asked by curl and openssl alone."""

import base64
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from tests.end_to_end.conftest import Identity, Server, make_batch, running_server, wait_for
from tests.end_to_end.node import connected

BASE = "/.well-known/est"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("est") / "data") as running:
        yield running


@dataclass
class EstDevice:
    """A folder and two commands."""

    folder: Path
    server: Server

    def openssl(self, *arguments: str) -> None:
        subprocess.run(
            ["openssl", *arguments], cwd=self.folder, check=True, capture_output=True, timeout=60
        )

    def make_request(self, common_name: str, key: str = "key.pem") -> None:
        if not (self.folder / key).exists():
            self.openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key)
        self.openssl(
            *("req", "-new", "-key", key, "-subj", f"/CN={common_name}"),
            *("-outform", "DER", "-out", "request.der"),
        )
        self.openssl("base64", "-in", "request.der", "-out", "request.b64")

    def curl(self, path: str, *arguments: str) -> tuple[int, dict[str, str]]:
        """Status and headers; the body is in the file `answer`."""
        (self.folder / "answer").unlink(missing_ok=True)
        url = self.server.activation + BASE + path
        always = ["-q", "-sS", "--cacert", self.server.ca, "-o", "answer", "-D", "-"]
        done = subprocess.run(
            ["curl", *always, *arguments, url],
            cwd=self.folder,
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
        )
        first, *lines = done.stdout.strip().splitlines()
        headers = dict(line.split(": ", 1) for line in lines)
        return int(first.split()[1]), {name.lower(): value for name, value in headers.items()}

    def enroll(self, path: str, *arguments: str) -> tuple[int, dict[str, str]]:
        body = ["--data-binary", "@request.b64", "-H", "Content-Type: application/pkcs10"]
        return self.curl(path, *body, *arguments)

    def certificates(self) -> list[x509.Certificate]:
        """Those of the answer, as openssl takes them out."""
        self.openssl("base64", "-d", "-in", "answer", "-out", "answer.p7")
        self.openssl(
            *("pkcs7", "-inform", "DER", "-in", "answer.p7", "-print_certs", "-out", "answer.pem")
        )
        return x509.load_pem_x509_certificates((self.folder / "answer.pem").read_bytes())

    def identity(self, key: str = "key.pem") -> Identity:
        [certificate] = self.certificates()
        [name] = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        (self.folder / "cert.pem").write_bytes((self.folder / "answer.pem").read_bytes())
        node = str(name.value).partition(".")[2]
        return Identity(node, Path(self.server.ca), self.folder / "cert.pem", self.folder / key)


@pytest.fixture
def device(tmp_path: Path, server: Server) -> EstDevice:
    return EstDevice(tmp_path, server)


@pytest.fixture
def api(server: Server) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client


def test_the_authoritys_certificates_come_as_cms_and_chain_up_to_the_root(
    device: EstDevice, server: Server
) -> None:
    status, headers = device.curl("/cacerts")
    assert status == 200
    assert headers["content-type"] == "application/pkcs7-mime; smime-type=certs-only"
    assert headers["content-transfer-encoding"] == "base64"
    found = device.certificates()
    root = x509.load_pem_x509_certificate(Path(server.ca).read_bytes())
    assert root in found
    for certificate in found:
        certificate.verify_directly_issued_by(root)


def test_a_device_enrolls_with_its_batchs_token_and_reenrolls_by_its_certificate(
    device: EstDevice, api: httpx.Client, server: Server
) -> None:
    batch = make_batch(api, "factory", enableWhitelist=1)
    record = {"fingerprintValue": "SN-7", "nodeName": "press"}
    assert api.post("/v1/register/factory/record", json=record).status_code == 200
    device.make_request("SN-7")
    status, headers = device.enroll("/simpleenroll", "-u", f"factory:{batch['securityKey']}")
    assert status == 200, (device.folder / "answer").read_text()
    assert headers["content-type"] == "application/pkcs7-mime; smime-type=certs-only"
    first = device.identity()
    assert first.name == "press"  # the name in the list, not the one in the request
    with connected(server, first) as node:
        assert node.report(apps=[])["kind"] == "report"
    device.make_request("default.another-node", "new.pem")
    status, _ = device.enroll("/simplereenroll", "--cert", "cert.pem", "--key", "key.pem")
    assert status == 200, (device.folder / "answer").read_text()
    second = device.identity("new.pem")
    assert second.name == "press"
    with connected(server, second) as node:
        assert node.report(apps=[])["kind"] == "report"
        api.delete("/v1/nodes/press").raise_for_status()
        wait_for(node.disconnected.is_set, "the end of the connection")
    status, headers = device.enroll("/simplereenroll", "--cert", "cert.pem", "--key", "new.pem")
    assert (status, headers["www-authenticate"]) == (401, 'Basic realm="edgesync"')


def test_an_install_token_enrolls_once_with_any_name_in_the_request(
    device: EstDevice, api: httpx.Client
) -> None:
    api.post("/v1/nodes", json={"name": "gate"}).raise_for_status()
    command = api.get("/v1/nodes/gate/init").json()["cmd"]
    token = command.partition("token=")[2].split('"')[0].split("'")[0]
    device.make_request("another")
    status, _ = device.enroll("/simpleenroll", "-u", f":{token}")
    assert status == 200, (device.folder / "answer").read_text()
    assert device.identity().name == "gate"
    status, headers = device.enroll("/simpleenroll", "-u", f":{token}")
    assert (status, headers["www-authenticate"]) == (401, 'Basic realm="edgesync"')


def test_a_batch_without_a_token_admits_its_user_name_and_no_other(
    device: EstDevice, api: httpx.Client
) -> None:
    make_batch(api, "open", securityType="None")
    make_batch(api, "closed")
    device.make_request("sn-1")
    assert device.enroll("/simpleenroll", "-u", "default/open:")[0] == 200
    assert device.identity().name == "sn-1"
    device.make_request("sn-2", "other.pem")
    for user in ("closed:", "closed:wrong", "absent:x", "other/open:", ":x"):
        status, headers = device.enroll("/simpleenroll", "-u", user)
        assert (status, headers["www-authenticate"]) == (401, 'Basic realm="edgesync"'), user
    for credentials in ("Basic !", "Basic \xe9", "Basic /w==", "Bearer x"):
        status, _ = device.enroll("/simpleenroll", "-H", f"Authorization: {credentials}")
        assert status == 401, credentials
    assert device.enroll("/simpleenroll")[0] == 401
    assert device.enroll("/simplereenroll")[0] == 401
    assert api.get("/v1/nodes/sn-2").status_code == 404


def test_what_is_no_signing_request_is_refused(device: EstDevice, api: httpx.Client) -> None:
    make_batch(api, "open2", securityType="None")
    device.make_request("sn-9")
    der = (device.folder / "request.der").read_bytes()
    cases = [
        (b"", 400),
        (der, 400),
        (base64.b64encode(b"x"), 400),
        (base64.b64encode(der[:-9] + bytes(9)), 400),
        (b"A" * 70_000, 413),
    ]
    for body, expected in cases:
        (device.folder / "request.b64").write_bytes(body)
        assert device.enroll("/simpleenroll", "-u", "open2:")[0] == expected
    plain = ["--data-binary", "@request.der", "-H", "Content-Type: text/plain"]
    assert device.curl("/simpleenroll", *plain, "-u", "open2:")[0] == 415
    assert device.curl("/csrattrs")[0] == 404


def der(tag: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    assert len(content) < 65536
    length = len(content).to_bytes(2, "big")
    return bytes([tag, 0x82]) + length + content


def request_with_subject(common_name: bytes, key: ec.EllipticCurvePrivateKey) -> bytes:
    """A request signed by *key* whose common name is that TLV."""
    oid = bytes.fromhex("0603550403")
    subject = der(0x30, der(0x31, der(0x30, oid, common_name)))
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    info = der(0x30, b"\x02\x01\x00", subject, public, b"\xa0\x00")
    signature = key.sign(info, ec.ECDSA(hashes.SHA256()))
    algorithm = bytes.fromhex("300a06082a8648ce3d040302")
    return base64.b64encode(der(0x30, info, algorithm, der(0x03, b"\x00", signature)))


ODD_NAMES = {
    "not UTF-8": b"\x0c\x02\xff\xfe",
    "half a character": b"\x1e\x03\xd8\x00\x41",
    "an integer": b"\x02\x01\x05",
    "a control character": b"\x0c\x03a\x00b",
    "nothing": b"\x0c\x00",
    "long": der(0x0C, b"n" * 9000),
}


@pytest.mark.parametrize("kind", ODD_NAMES)
def test_a_common_name_that_cannot_be_read_is_refused_after_the_token(
    kind: str, api: httpx.Client, server: Server
) -> None:
    batch = f"odd{list(ODD_NAMES).index(kind)}"
    token = make_batch(api, batch)["securityKey"]
    key = ec.generate_private_key(ec.SECP256R1())
    body = request_with_subject(ODD_NAMES[kind], key)
    headers = {"Content-Type": "application/pkcs10"}
    with server.devices() as devices:
        for password, status in (("wrong", 401), (token, 400)):
            answer = devices.post(
                f"{BASE}/simpleenroll", content=body, headers=headers, auth=(batch, password)
            )
            assert answer.status_code == status, answer.text
    assert "Traceback" not in server.log()


def test_a_bad_signing_request_is_refused_after_the_token_in_activation_too(
    api: httpx.Client, server: Server
) -> None:
    token = make_batch(api, "odd-active")["securityKey"]
    weak = rsa.generate_private_key(65537, 1024)  # noqa: S505
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    small = builder.sign(weak, hashes.SHA256()).public_bytes(Encoding.PEM).decode()
    with server.devices() as devices:
        for csr in ("nonsense", "\ud800", "-----BEGIN", small, "é" * 10):
            for password, status in (("wrong", 401), (token, 400)):
                claim = {
                    "batchName": "odd-active",
                    "fingerprintValue": "SN-1",
                    "securityType": "Token",
                    "securityValue": password,
                    "csr": csr,
                }
                answer = devices.post("/v1/active", content=json.dumps(claim))
                assert answer.status_code == status or csr == "\ud800", (csr, answer.text)
                assert answer.status_code < 500, (csr, answer.text)
            renewal = devices.post("/v1/renew", content=json.dumps({"csr": csr}))
            assert renewal.status_code == 400, (csr, renewal.text)
    assert "Traceback" not in server.log()
