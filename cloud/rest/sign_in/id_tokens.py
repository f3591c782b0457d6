"""The checks of a token that an identity provider issued (OpenID Connect Core, section 3.1.3.7)."""

import binascii
from base64 import urlsafe_b64decode
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from joserfc.jwt import ClaimsOption, JWTClaimsRegistry

from cloud.core.identity_providers import TOKEN_LIMIT
from cloud.errors import Denied

ALGORITHMS = [
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA"),
]
"""Signatures that are accepted: none, and those with a shared secret, are not."""

LEEWAY_SECONDS = 60
"""How much the clocks of the provider and of this server may differ."""


class _Issued(msgspec.Struct):
    iss: str = ""


def issuer_in(token: str) -> str:
    """The issuer that *token* names, not verified; empty if it names none."""
    try:
        part = token.split(".")[1]
        return msgspec.json.decode(
            urlsafe_b64decode(part + "=" * (-len(part) % 4)), type=_Issued
        ).iss
    except (IndexError, binascii.Error, ValueError, msgspec.MsgspecError):
        return ""


def verified_claims(
    token: str,
    keys: KeySet,
    *,
    issuer: str,
    audiences: Sequence[str],
    nonce: str | None,
    now: datetime,
) -> Mapping[str, Any]:
    """The claims of *token*, signed with one of *keys*; Denied names what is wrong.

    It has to be issued by *issuer*, for one of *audiences*, valid *now*, and, unless that is None,
    to answer the sign-in with *nonce*.
    """
    if len(token) > TOKEN_LIMIT:
        raise Denied("the token of the provider is too long")
    wanted: dict[str, ClaimsOption] = {
        "iss": {"essential": True, "value": issuer},
        "sub": {"essential": True},
        "aud": {"essential": True, "values": list(audiences)},
        "exp": {"essential": True},
        "iat": {"essential": True},
    }
    if nonce is not None:
        wanted["nonce"] = {"essential": True, "value": nonce}
    registry = JWTClaimsRegistry(int(now.timestamp()), LEEWAY_SECONDS, **wanted)
    try:
        claims: dict[str, Any] = jwt.decode(token, keys, algorithms=ALGORITHMS).claims
        registry.validate(claims)
    except (JoseError, ValueError, TypeError, RecursionError) as error:
        raise Denied(f"the token of the provider is refused: {error}") from error
    has_several = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
    # Section 3.1.3.7, 4 and 5: with several audiences, the one that it was issued to.
    if has_several and claims.get("azp") not in audiences:
        raise Denied("the token of the provider was issued to another client")
    return claims
