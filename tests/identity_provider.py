"""A server, and a real identity provider in a process of its own."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.end_to_end.conftest import Server, running_server, wait_for
from tests.plain_http import NO_TLS
from tests.ports import free_port

USERS = {
    "ann": {"email": "ann@example.com", "groups": ["fleet", "north"]},
    "bob": {"email": "bob@example.com", "groups": ["north"]},
    "ci": {"email": "example/shop", "groups": ["pipelines"]},
    "eve": {"email": "eve@example.com", "groups": ["visitors"]},
}
ACCESS = [
    {"claims": {"groups": "fleet"}, "role": "admin"},
    {"claims": {"groups": "north"}, "role": "viewer", "namespaces": ["north"]},
    {"claims": {"groups": "pipelines"}, "role": "deployer", "namespaces": ["shop"]},
]


@dataclass
class SignInServer:
    """A server, and the provider that vouches for its users."""

    server: Server
    issuer: str

    @contextlib.contextmanager
    def browser(self) -> Iterator[httpx.Client]:
        """A browser that follows no redirect by itself."""
        with httpx.Client(base_url=self.server.api, trust_env=False, verify=NO_TLS) as client:
            yield client

    def begin(self, browser: httpx.Client, provider: str = "company") -> str:
        """The address at the provider that the browser is led to."""
        answer = browser.get(f"/login/{provider}")
        assert answer.status_code == 303
        return answer.headers["location"]

    def approve(self, place: str, user: str) -> str:
        """Sign in there; the address that the browser is led back to."""
        answer = httpx.post(place, data={"sub": user}, trust_env=False, verify=NO_TLS)
        assert answer.status_code == 302, answer.text
        return answer.headers["location"]

    def sign_in(self, browser: httpx.Client, user: str) -> str:
        """Sign in, and return where the browser ends."""
        back = browser.get(self.approve(self.begin(browser), user))
        assert back.status_code == 303
        return back.headers["location"]

    def id_token(self, client_id: str, user: str = "ann") -> str:
        """A token that the provider signs for that client."""
        back = "http://127.0.0.1/back"
        asked = {
            "response_type": "code",
            "client_id": client_id,
            "redirect_uri": back,
            "scope": "openid profile email",
            "nonce": client_id,
        }
        place = str(httpx.URL(f"{self.issuer}/oauth2/authorize", params=asked))
        code = httpx.URL(self.approve(place, user)).params["code"]
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": back}
        answer = httpx.post(
            f"{self.issuer}/oauth2/token",
            data=form,
            auth=(client_id, "any"),
            trust_env=False,
            verify=NO_TLS,
        )
        token: str = answer.json()["id_token"]
        return token


@contextlib.contextmanager
def sign_in_server(folder: Path) -> Iterator[SignInServer]:
    """Start both in *folder*; killed at the end."""
    port = free_port()
    command = [sys.executable, "-W", "ignore", "-m", "oidc_provider_mock", "--port", str(port)]
    for name, claims in USERS.items():
        command += ["--user-claims", json.dumps({"sub": name, **claims})]
    issuer = f"http://127.0.0.1:{port}"
    secret = folder / "client.secret"
    secret.touch(mode=0o600)
    secret.write_text("of the client: it/is+encoded\n")
    company = {"name": "company", "issuer": issuer, "clientId": "edgesync", "access": ACCESS}
    company["label"] = "Our company"
    company["clientSecretFile"] = secret.name
    other = {**company, "name": "other", "exchange": True, "clientId": "other", "label": "Partner"}
    file = folder / "login.yaml"
    file.write_text(json.dumps({"providers": [company, other]}))
    with (folder / "provider.log").open("w") as log:
        provider = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        wait_for(lambda: _answers(issuer), "the provider to answer")
        with running_server(folder / "data", "--login-file", str(file)) as server:
            yield SignInServer(server, issuer)
    finally:
        provider.kill()
        provider.wait(timeout=60)


def _answers(url: str) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(url, trust_env=False, verify=NO_TLS).status_code == 200
    return False
