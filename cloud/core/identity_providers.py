"""Identity providers (OpenID Connect), and which of their users may do what.

They stand in a file of the server (`login_file`), as who changes them grants access to everything.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import msgspec

from cloud.core.decoding import convert
from cloud.core.grants import BUILT_IN, Grant, Grants, check_grant_nodes, grants_text
from cloud.core.local_users import RESERVED
from cloud.core.names import LOOPBACK, check_name, check_namespace, check_own_name
from cloud.core.tokens import EVERYWHERE
from cloud.core.user_sessions import User
from cloud.errors import Denied, Invalid

PROVIDERS_LIMIT = 20
RULES_LIMIT = 1000
NAME_LIMIT = 200
"""Characters of a user's name that are kept."""

LONGEST_SESSION_HOURS = 24 * 30
FILE_LIMIT = 1024 * 1024
"""Bytes of the file."""

TOKEN_LIMIT = 16 * 1024
"""Characters of a token."""

_DEFAULT_SCOPES = ("openid", "profile", "email")


class AccessRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Gives *role*, a built-in one or one of the *namespaces*, to who has all these *claims*.

    With a selector *nodes* for the nodes alone that it selects. A claim that is a list, as groups
    are, has to hold the value. Values are compared exactly.
    """

    claims: dict[str, str | bool]
    role: str
    namespaces: tuple[str, ...] = (EVERYWHERE,)
    nodes: str = ""

    def matches(self, claims: Mapping[str, Any]) -> bool:
        """Return whether who has *claims* gets the role."""
        return all(_has(claims.get(name), value) for name, value in self.claims.items())


class IdentityProvider(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel", kw_only=True
):
    """A provider: *client_id* is this server's there, *name* is in addresses, *label* for people.

    *client_secret_file* holds the secret of a confidential client, relative to the file of the
    providers; without it the client is a public one. *ca_file* holds the authorities that sign the
    provider's certificate, where the machine does not trust those. *name_claim* is the user's name,
    *session_hours* how long a session lasts. With *exchange* programs and shells may exchange its
    tokens for sessions, of *exchange_minutes*; with *sign_in* people may sign in by a browser.
    *device_client_id* is the client of the command line, where that is another one.
    """

    name: str
    issuer: str
    client_id: str
    access: tuple[AccessRule, ...]
    label: str = ""
    client_secret_file: str = ""
    ca_file: str = ""
    device_client_id: str = ""
    scopes: tuple[str, ...] = _DEFAULT_SCOPES
    name_claim: str = "email"
    session_hours: int = 12
    sign_in: bool = True
    exchange: bool = False
    exchange_minutes: int = 60

    @property
    def audiences(self) -> Sequence[str]:
        """The clients whose tokens may be exchanged."""
        return [one for one in (self.client_id, self.device_client_id) if one]

    @property
    def session_time(self) -> timedelta:
        """How long a session of a browser lasts."""
        return timedelta(hours=self.session_hours)

    @property
    def exchange_time(self) -> timedelta:
        """How long the session lasts that a token was exchanged for."""
        return timedelta(minutes=self.exchange_minutes)

    def user(self, claims: Mapping[str, Any]) -> User:
        """Who the verified *claims* of a token are about."""
        shown = claims.get(self.name_claim)
        name = shown if isinstance(shown, str) and shown.strip() else claims["sub"]
        return User(self.name, claims["sub"], f"{self.name}:{name}"[:NAME_LIMIT])

    def grants(self, claims: Mapping[str, Any]) -> Grants:
        """What who has the verified *claims* may do; Denied if that is nothing."""
        found: dict[str, list[Grant]] = {}
        for rule in self.access:
            if rule.matches(claims):
                for namespace in rule.namespaces:
                    found.setdefault(namespace, []).append(Grant(rule.role, rule.nodes))
        if not found:
            raise Denied(f"no access rule of {self.name} is for this user")
        return {namespace: grants_text(grants) for namespace, grants in found.items()}


class _ProvidersFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    providers: tuple[IdentityProvider, ...]


def read_providers(content: Any) -> Sequence[IdentityProvider]:
    """The providers of a file; Invalid names the field that is wrong."""
    providers = convert(content, _ProvidersFile).providers
    if len(providers) > PROVIDERS_LIMIT:
        raise Invalid("providers", f"more than the limit of {PROVIDERS_LIMIT}")
    seen: set[str] = set()
    for index, provider in enumerate(providers):
        field = f"providers[{index}]"
        check_name(f"{field}.name", provider.name)
        if provider.name in RESERVED:
            raise Invalid(f"{field}.name", f"{provider.name!r} is reserved")
        if provider.name in seen:
            raise Invalid(f"{field}.name", f"{provider.name!r} is there twice")
        seen.add(provider.name)
        _check_provider(field, provider)
    return providers


def check_endpoint(field: str, url: str) -> str:
    """Return *url* if it is one of https, or of http on this machine; else Invalid."""
    parts = urlsplit(url)
    is_plain = parts.scheme == "http" and parts.hostname in LOOPBACK
    if not parts.hostname or not (parts.scheme == "https" or is_plain):
        raise Invalid(field, f"{url[:80]!r} is not an https URL")
    return url


def _check_provider(field: str, provider: IdentityProvider) -> None:
    check_endpoint(f"{field}.issuer", provider.issuer)
    if not provider.client_id.strip():
        raise Invalid(f"{field}.clientId", "is empty")
    if "openid" not in provider.scopes:
        raise Invalid(f"{field}.scopes", "lack openid")
    if not 1 <= provider.session_hours <= LONGEST_SESSION_HOURS:
        raise Invalid(f"{field}.sessionHours", f"is not between 1 and {LONGEST_SESSION_HOURS}")
    if not 1 <= provider.exchange_minutes <= 60 * LONGEST_SESSION_HOURS:
        raise Invalid(f"{field}.exchangeMinutes", "is not between 1 and 43200")
    if len(provider.access) > RULES_LIMIT:
        raise Invalid(f"{field}.access", f"more than the limit of {RULES_LIMIT}")
    for index, rule in enumerate(provider.access):
        _check_rule(f"{field}.access[{index}]", rule)


def _check_rule(field: str, rule: AccessRule) -> None:
    if not rule.claims:
        raise Invalid(f"{field}.claims", "is empty: everyone would have the role")
    check_grant_nodes(f"{field}.nodes", rule.nodes)
    if not rule.namespaces:
        raise Invalid(f"{field}.namespaces", "is empty")
    if rule.role not in BUILT_IN:
        check_own_name(f"{field}.role", rule.role)
        if EVERYWHERE in rule.namespaces:
            reason = f"{rule.role} is no built-in role; with one of a namespace name the namespaces"
            raise Invalid(f"{field}.role", reason)
    for namespace in rule.namespaces:
        if namespace != EVERYWHERE:
            check_namespace(f"{field}.namespaces", namespace)


def _has(claim: Any, value: object) -> bool:
    found = claim if isinstance(claim, list) else [claim]
    return any(type(one) is type(value) and one == value for one in found)
