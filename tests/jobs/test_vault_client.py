"""Values of a Vault, over TLS, and what is refused of it."""

import ssl
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

import pytest

from cloud.core.secret_source import SecretSource
from cloud.jobs.source_reader import SourceReader
from cloud.jobs.vault_client import DOWN_SECONDS, RESPONSE_LIMIT, VaultClient, VaultPlace
from tests.deadlines import UNIT
from tests.store.conftest import unavailable
from tests.vault import Vault, answer, running_vault


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    with running_vault(tmp_path_factory.mktemp("vault")) as vault:
        yield vault


@pytest.fixture
def vault(running: Vault) -> Vault:
    running.instead = None
    running.asked.clear()
    running.secrets.clear()
    running.put("db", password="s3cret", user="app", port=5432)
    return running


class SteppedTimer:
    """Counts seconds as a test wants it."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def client_of(
    vault: Vault, *, url: str = "", timer: SteppedTimer | None = None, timeout: float = 10 * UNIT
) -> VaultClient:
    place = VaultPlace(url or vault.url, vault.token_file, "secret", "edgesync")
    trust = ssl.create_default_context(cafile=vault.ca_file)
    return VaultClient(place, trust, timer or SteppedTimer(), timeout=timeout)


async def test_fields_of_a_path_are_read_with_one_request(vault: Vault) -> None:
    reader = SourceReader(vault=client_of(vault).fields)
    sources = {
        "password": SecretSource(vault="db", field="password"),
        "user": SecretSource(vault="db", field="user"),
    }
    values = await reader.values("default", sources)
    assert values == {"password": "s3cret", "user": "app"}
    assert vault.asked == ["secret/data/edgesync/default/db"]
    for field in ("port", "none"):
        with unavailable(f"k: vault db field {field}: there is no text in that field"):
            await reader.values("default", {"k": SecretSource(vault="db", field=field)})


async def test_a_namespace_reads_below_its_own_path(vault: Vault) -> None:
    with unavailable("answered 404: there is nothing at other/db"):
        await client_of(vault).fields("other", "db")
    assert vault.asked == ["secret/data/edgesync/other/db"]


async def test_the_token_is_read_for_each_request(vault: Vault) -> None:
    client, right = client_of(vault), vault.token_file.read_text()
    try:
        vault.token_file.write_text("another")
        with unavailable("answered 403: the token may not read default/db"):
            await client.fields("default", "db")
        vault.token_file.write_text("")
        with unavailable("holds no token"):
            await client.fields("default", "db")
        vault.token_file.chmod(0o644)
        with unavailable("others can use this file"):
            await client.fields("default", "db")
    finally:
        vault.token_file.chmod(0o600)
        vault.token_file.write_text(right)
    assert (await client.fields("default", "db"))["user"] == "app"


async def test_a_redirect_is_not_followed(vault: Vault) -> None:
    def redirect(handler: BaseHTTPRequestHandler) -> None:
        answer(handler, 307, b"", Location="/v1/secret/data/edgesync/default/db")

    vault.instead = redirect
    with unavailable("answered 307: redirects are not followed"):
        await client_of(vault).fields("default", "db")
    assert len(vault.asked) == 1


@pytest.mark.parametrize(
    "body", [b"", b"[1]", b"\xff", b'{"data": 1}', b'{"data": {"data": ["s3cret"]}}', b"<s3cret>"]
)
async def test_another_answer_is_refused_and_not_repeated(vault: Vault, body: bytes) -> None:
    vault.instead = lambda handler: answer(handler, 200, body)
    with unavailable("its answer is not one of the KV engine, version 2"):
        await client_of(vault).fields("default", "db")
    vault.instead = lambda handler: answer(handler, 500, body)
    with unavailable("answered 500"):
        await client_of(vault).fields("default", "db")


async def test_a_huge_or_endless_answer_is_not_read_to_its_end(vault: Vault) -> None:
    def endless(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        while not vault.ended.is_set():
            handler.wfile.write(b"x" * 65536)

    for instead in (endless, lambda handler: answer(handler, 200, b"x" * (RESPONSE_LIMIT + 1))):
        vault.instead = instead
        with unavailable(f"its answer has more than {RESPONSE_LIMIT} bytes"):
            await client_of(vault).fields("default", "db")


async def test_a_vault_that_does_not_answer_is_not_asked_again_at_once(vault: Vault) -> None:
    def silent(_handler: BaseHTTPRequestHandler) -> None:
        vault.ended.wait(1)

    vault.instead = silent
    timer = SteppedTimer()
    client = client_of(vault, timer=timer, timeout=0.2)
    for _ in range(3):
        with unavailable("no answer within 0.2 s"):
            await client.fields("default", "db")
    assert len(vault.asked) == 1
    timer.now = DOWN_SECONDS
    with unavailable("no answer within 0.2 s"):
        await client.fields("default", "db")
    assert len(vault.asked) == 2


async def test_a_certificate_that_is_not_trusted_or_of_another_name_is_refused(
    vault: Vault,
) -> None:
    place = VaultPlace(vault.url, vault.token_file, "secret", "edgesync")
    stranger = VaultClient(place, ssl.create_default_context(), SteppedTimer())
    with unavailable("CERTIFICATE_VERIFY_FAILED"):
        await stranger.fields("default", "db")
    with unavailable("CERTIFICATE_VERIFY_FAILED"):
        await client_of(vault, url=vault.url.replace("localhost", "127.0.0.1")).fields("a", "b")
    assert vault.asked == []


async def test_a_vault_that_is_not_there_is_unavailable(vault: Vault) -> None:
    with unavailable("ConnectError"):
        await client_of(vault, url="https://localhost:9").fields("default", "db")
