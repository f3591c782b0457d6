"""Tokens of identity providers: what is accepted, and each forgery that is refused."""

import hmac
import json
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, RSAKey

from cloud.core.identity_providers import TOKEN_LIMIT
from cloud.errors import Denied
from cloud.rest.sign_in.id_tokens import issuer_in, verified_claims

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ISSUER = "https://id.example.com"
KEY = ECKey.generate_key("P-256", {"kid": "one"}, private=True)
RSA = RSAKey.generate_key(2048, {"kid": "rsa"}, private=True)
KEYS = KeySet([KEY, RSA])


def claims(**changed: Any) -> dict[str, Any]:
    seconds = int(NOW.timestamp())
    given = {
        "iss": ISSUER,
        "sub": "1f3a",
        "aud": "edgesync",
        "exp": seconds + 300,
        "iat": seconds,
        "nonce": "n",
        **changed,
    }
    return {name: value for name, value in given.items() if value is not None}


def signed(content: Mapping[str, Any], key: Any = KEY, alg: str = "ES256", **header: Any) -> str:
    given = {"alg": alg, "kid": key.kid, **header}
    return jwt.encode(given, dict(content), key, algorithms=[alg])


def verified(token: str, nonce: str | None = "n") -> Mapping[str, Any]:
    return verified_claims(
        token, KEYS, issuer=ISSUER, audiences=["edgesync", "shell"], nonce=nonce, now=NOW
    )


def test_a_token_of_the_provider_is_accepted() -> None:
    assert verified(signed(claims()))["sub"] == "1f3a"
    assert verified(signed(claims(), RSA, "RS256"))["sub"] == "1f3a"
    assert verified(signed(claims(aud="shell")))["sub"] == "1f3a"
    assert verified(signed(claims(aud=["other", "edgesync"], azp="edgesync")))["sub"] == "1f3a"
    assert verified(signed(claims(nonce=None)), nonce=None)["sub"] == "1f3a"
    # Clocks differ by a minute at most.
    late = NOW.timestamp() - 59
    assert verified(signed(claims(exp=int(late))))["sub"] == "1f3a"


@pytest.mark.parametrize(
    "changed",
    [
        {"iss": "https://id.example.com/"},
        {"iss": None},
        {"iss": [ISSUER]},
        {"sub": None},
        {"sub": 7},
        {"sub": ""},
        {"aud": "another"},
        {"aud": []},
        {"aud": None},
        {"aud": ["edgesync", "another"]},
        {"aud": ["edgesync", "another"], "azp": "another"},
        {"exp": int((NOW - timedelta(seconds=61)).timestamp())},
        {"exp": None},
        {"exp": "never"},
        {"iat": int((NOW + timedelta(seconds=61)).timestamp())},
        {"iat": None},
        {"nbf": int((NOW + timedelta(seconds=61)).timestamp())},
        {"nonce": "of another sign-in"},
        {"nonce": None},
    ],
)
def test_a_token_for_another_client_or_time_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(Denied):
        verified(signed(claims(**changed)))


def part(content: Mapping[str, Any]) -> str:
    return urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")


def with_shared_secret(secret: bytes) -> str:
    """A token that is signed with the public key, as if that were a secret."""
    text = f"{part({'alg': 'HS256', 'kid': 'rsa'})}.{part(claims())}"
    code = hmac.digest(secret, text.encode(), "sha256")
    return f"{text}.{urlsafe_b64encode(code).decode().rstrip('=')}"


def test_a_token_that_the_provider_did_not_sign_is_refused() -> None:
    forged = ECKey.generate_key("P-256", {"kid": "one"}, private=True)
    head, _, signature = signed(claims()).split(".")
    for token in (
        signed(claims(), forged),
        signed(claims(), KEY, kid="unknown"),
        f"{part({'alg': 'none'})}.{part(claims())}.",
        f"{head}.{part(claims())}.",
        f"{head}.{part(claims(sub='another'))}.{signature}",
        with_shared_secret(RSA.as_pem(private=False)),
        with_shared_secret(b""),
        signed(claims()) + "x",
        "",
        "a.b.c",
        "." * TOKEN_LIMIT,
        "x" * (TOKEN_LIMIT + 1),
    ):
        with pytest.raises(Denied):
            verified(token)


def test_a_key_in_the_token_itself_is_not_used() -> None:
    own = ECKey.generate_key("P-256", {"kid": "own"}, private=True)
    with pytest.raises(Denied):
        verified(signed(claims(), own, jwk=own.as_dict(private=False)))


def test_the_issuer_of_anything_is_found_or_empty() -> None:
    assert issuer_in(signed(claims())) == ISSUER
    for text in ("", "a", "a.b", "a.!!.c", "a.e30.c", "a.bnVsbA.c", "\x00.\x00"):
        assert issuer_in(text) == ""
