"""Certificates of callers, through real handshakes and a real web server."""

import ssl
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from cloud.http.peer import peer_certificate
from tests.broker.authority import HubAuthority
from tests.serving import serving

NODE = "default.gate-7"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> HubAuthority:
    return HubAuthority(tmp_path_factory.mktemp("authority"))


async def who(request: Request) -> JSONResponse:
    peer = peer_certificate(request)
    seen = peer and {
        "node_id": peer.node_id,
        "serial": peer.serial,
        "pem": peer.certificate.public_bytes(Encoding.PEM).decode(),
    }
    return JSONResponse({"peer": seen, "tls": request.scope.get("extensions", {}).get("tls")})


WHO = Starlette(routes=[Route("/", who)])


async def ask(url: str, context: ssl.SSLContext | bool) -> Any:  # noqa: FBT001
    """What the server knows of us, twice on one connection."""
    async with httpx.AsyncClient(verify=context, base_url=url) as client:
        first = (await client.get("/")).json()
        assert (await client.get("/")).json() == first
        return first


def listener(authority: HubAuthority, mode: ssl.VerifyMode) -> ssl.SSLContext:
    context = authority.server_context()
    context.verify_mode = mode
    return context


@pytest.mark.parametrize("mode", [ssl.CERT_REQUIRED, ssl.CERT_OPTIONAL])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_an_application_sees_the_certificate_of_its_caller(
    authority: HubAuthority, mode: ssl.VerifyMode, version: ssl.TLSVersion
) -> None:
    context = authority.client_context(NODE)
    context.maximum_version = version
    async with serving(WHO, listener(authority, mode)) as url:
        seen = await ask(url, context)
    pem = seen["peer"].pop("pem")
    assert seen["peer"] == {"node_id": NODE, "serial": authority.serials[NODE]}
    assert pem in authority.issue(NODE, [NODE]).read_text()
    assert seen["tls"] == {
        "server_cert": None,
        "client_cert_chain": [pem],
        "client_cert_name": f"CN={NODE}",
        "client_cert_error": None,
        "tls_version": version.value,
        "cipher_suite": None,
    }


async def test_a_client_without_a_certificate_is_anonymous_where_it_is_admitted(
    authority: HubAuthority,
) -> None:
    async with serving(WHO, listener(authority, ssl.CERT_OPTIONAL)) as url:
        seen = await ask(url, authority.client_context(None))
    assert seen["peer"] is None
    assert seen["tls"]["client_cert_chain"] == []
    assert seen["tls"]["client_cert_name"] is None


@pytest.mark.parametrize("names", [["a.b", "c.d"], [], ["a/b"]])
async def test_a_certificate_without_just_one_name_is_no_nodes(
    authority: HubAuthority, names: list[str]
) -> None:
    context = authority.client_context(None)
    context.load_cert_chain(authority.issue(f"named-{len(names)}-{'-'.join(names)[:1]}", names))
    async with serving(WHO, listener(authority, ssl.CERT_OPTIONAL)) as url:
        seen = await ask(url, context)
    assert seen["peer"] is None
    assert len(seen["tls"]["client_cert_chain"]) == 1


@pytest.mark.parametrize("mode", [ssl.CERT_REQUIRED, ssl.CERT_OPTIONAL])
@pytest.mark.parametrize("kind", ["expired", "foreign"])
async def test_a_certificate_that_cannot_be_verified_is_refused(
    authority: HubAuthority,
    tmp_path_factory: pytest.TempPathFactory,
    mode: ssl.VerifyMode,
    kind: str,
) -> None:
    context = authority.expired_context()
    if kind == "foreign":
        context = authority.client_context(None)
        other = HubAuthority(tmp_path_factory.mktemp("other"))
        context.load_cert_chain(other.issue(NODE, [NODE]))
    async with serving(WHO, listener(authority, mode)) as url:
        with pytest.raises(httpx.TransportError):
            await ask(url, context)


async def test_without_tls_there_is_neither_certificate_nor_extension() -> None:
    async with serving(WHO) as url:
        assert await ask(url, ssl.create_default_context()) == {"peer": None, "tls": None}
