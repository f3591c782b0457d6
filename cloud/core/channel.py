"""A channel: where notifications go, by e-mail or to a web address."""

import re
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit

import msgspec

from cloud.core.bounds import check_description, check_size
from cloud.core.kinds import CHANNEL
from cloud.core.names import is_address, is_host_name
from cloud.core.resource import VersionedResource
from cloud.core.sending import check_url, secret_key
from cloud.errors import Invalid

SIZE_LIMIT = 16 * 1024
"""Bytes of what is described, written as JSON."""

RECIPIENTS_LIMIT = 20
"""Addresses that one message is sent to, at most."""

CHANNELS_LIMIT = 100
"""Channels of one namespace, at most."""

_ADDRESS = re.compile(r"[!#$%&'*+/=?^_`{|}~0-9A-Za-z.-]{1,64}@[0-9A-Za-z.-]{1,189}")


class ChannelType(StrEnum):
    """How a channel takes messages: *slack* and *teams* stand for all that take the same format."""

    EMAIL = "email"
    SLACK = "slack"
    TEAMS = "teams"
    WEBHOOK = "webhook"


class SmtpSecurity(StrEnum):
    """When TLS begins: by STARTTLS on a plain connection, with the connection, or never."""

    STARTTLS = "starttls"
    TLS = "tls"
    NONE = "none"


class ChannelSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """The specification of a channel: *url* for web addresses, the rest of the middle for e-mail.

    *secret* signs the messages of a webhook, as callbacks are signed.
    """

    type: ChannelType
    description: str = ""
    url: str = ""
    secret: str = ""
    smtp_host: str = ""
    smtp_port: int = 587
    smtp_security: SmtpSecurity = SmtpSecurity.STARTTLS
    username: str = ""
    password: str = ""
    sender: str = msgspec.field(default="", name="from")
    to: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"ChannelSpec(type={self.type})"

    @property
    def target(self) -> str:
        """Where messages go, without what is secret: addresses, or the host of the URL."""
        if self.type is ChannelType.EMAIL:
            return f"{', '.join(self.to)} by {self.smtp_host}:{self.smtp_port}"
        return urlsplit(self.url).netloc


@dataclass(frozen=True, slots=True)
class NotificationChannel(VersionedResource[ChannelSpec]):
    """A channel as it is stored; *version* changes with every change of its content."""

    kind = CHANNEL


def checked_channel_spec(spec: ChannelSpec) -> ChannelSpec:
    """Return *spec* if messages can be sent by it; Invalid names the field, never a secret."""
    if spec.type is ChannelType.EMAIL:
        _check_mail(spec)
    else:
        _check_web(spec)
    check_description(spec.description)
    check_size("", spec, SIZE_LIMIT)
    return spec


def _check_mail(spec: ChannelSpec) -> None:
    for field in ("url", "secret"):
        if getattr(spec, field):
            raise Invalid(field, "is not a field of type email")
    if not (is_host_name(spec.smtp_host) or is_address(spec.smtp_host)):
        raise Invalid("smtpHost", "is neither a host name nor an address")
    if not 1 <= spec.smtp_port <= 65535:
        raise Invalid("smtpPort", "is not between 1 and 65535")
    if bool(spec.username) != bool(spec.password):
        raise Invalid("username", "and password: each needs the other")
    if spec.password and spec.smtp_security is SmtpSecurity.NONE:
        raise Invalid("smtpSecurity", "is none: a password is sent over TLS only")
    _check_address("from", spec.sender)
    if not 1 <= len(spec.to) <= RECIPIENTS_LIMIT:
        raise Invalid("to", f"has not between 1 and {RECIPIENTS_LIMIT} addresses")
    for number, address in enumerate(spec.to):
        _check_address(f"to[{number}]", address)


def _check_web(spec: ChannelSpec) -> None:
    plain = ChannelSpec(spec.type)
    for field in (
        "smtp_host",
        "smtp_port",
        "smtp_security",
        "username",
        "password",
        "sender",
        "to",
    ):
        if getattr(spec, field) != getattr(plain, field):
            name = next(
                each.encode_name for each in msgspec.structs.fields(spec) if each.name == field
            )
            raise Invalid(name, f"is not a field of type {spec.type}")
    check_url("url", spec.url)
    if spec.type is ChannelType.WEBHOOK:
        secret_key(spec.secret)
    elif spec.secret:
        raise Invalid("secret", f"is not a field of type {spec.type}")


def _check_address(field: str, address: str) -> None:
    if not _ADDRESS.fullmatch(address):
        raise Invalid(field, f"{address[:80]!r} is not an address like ops@example.com")
