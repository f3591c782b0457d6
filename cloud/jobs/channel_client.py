"""The client that sends notifications by channels; loaded with the first that is due."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime

import aiosmtplib
import httpx
import msgspec

from cloud.core.channel import ChannelSpec, ChannelType, NotificationChannel, SmtpSecurity
from cloud.core.notification import (
    Notification,
    plain_text,
    slack_content,
    subject_of,
    teams_content,
    webhook_content,
)
from cloud.core.sending import JSON, Delivery, DeliveryAttempt, signature_headers
from cloud.jobs.outgoing_http import TIMEOUT, open_http_client, send_request

_CONTENTS = {
    ChannelType.SLACK: slack_content,
    ChannelType.TEAMS: teams_content,
    ChannelType.WEBHOOK: webhook_content,
}
_MESSAGE = msgspec.json.Decoder(Notification)


class ChannelClient:
    """Makes attempts, several at a time; links begin with *public_url*."""

    def __init__(self, client: httpx.AsyncClient, tls: ssl.SSLContext, public_url: str) -> None:
        self._client = client
        self._tls = tls
        self._public_url = public_url

    async def attempt(
        self, target: NotificationChannel, delivery: Delivery, *, now: datetime
    ) -> DeliveryAttempt:
        """One attempt; its answer, or error, is the receiver's."""
        message = _MESSAGE.decode(delivery.content)
        if target.spec.type is ChannelType.EMAIL:
            error, answer = await self._mail(target.spec, delivery, message)
        else:
            error, answer = await self._post(target.spec, delivery, message, now)
        return DeliveryAttempt(delivery, error, answer)

    async def _post(
        self, spec: ChannelSpec, delivery: Delivery, message: Notification, now: datetime
    ) -> tuple[str, str]:
        content = msgspec.json.encode(_CONTENTS[spec.type](message, self._public_url))
        headers = {"Content-Type": JSON}
        if spec.secret:
            headers |= signature_headers(spec.secret, delivery.id, content, now=now)
        url = httpx.URL(spec.url)
        return await send_request(
            self._client, "POST", url, content=content, headers=headers, is_read=True
        )

    async def _mail(
        self, spec: ChannelSpec, delivery: Delivery, message: Notification
    ) -> tuple[str, str]:
        try:
            async with asyncio.timeout(TIMEOUT.total_seconds()):
                refused, answer = await aiosmtplib.send(
                    _mail_of(spec, delivery, message, self._public_url),
                    hostname=spec.smtp_host,
                    port=spec.smtp_port,
                    use_tls=spec.smtp_security is SmtpSecurity.TLS,
                    start_tls=spec.smtp_security is SmtpSecurity.STARTTLS,
                    username=spec.username or None,
                    password=spec.password or None,
                    tls_context=None if spec.smtp_security is SmtpSecurity.NONE else self._tls,
                    # Looked up otherwise, in the DNS, while everything waits.
                    local_hostname=socket.gethostname(),
                    timeout=TIMEOUT.total_seconds(),
                )
        except TimeoutError:
            return f"no answer within {TIMEOUT.total_seconds():.0f} s", ""
        except (aiosmtplib.SMTPException, OSError, ValueError) as failure:
            return _reason_of(failure), ""
        some = "".join(f"; {address} refused: {each}" for address, each in refused.items())
        return "", _printable(f"answered {answer}{some}")


@contextlib.asynccontextmanager
async def open_channel_client(
    public_url: str, tls: ssl.SSLContext | None = None
) -> AsyncIterator[ChannelClient]:
    """A client that trusts the certificate authorities of this machine, unless *tls* is given."""
    context = tls or ssl.create_default_context()
    async with open_http_client(context) as client:
        yield ChannelClient(client, context, public_url)


def _reason_of(failure: Exception) -> str:
    """Why an e-mail was not taken; nothing of what another service than SMTP answers."""
    code = failure.code if isinstance(failure, aiosmtplib.SMTPResponseException) else 0
    if code == aiosmtplib.SMTPStatus.invalid_response:
        return "the answer is not one of SMTP"
    return _printable(f"{type(failure).__name__}: {failure}")


def _mail_of(
    spec: ChannelSpec, delivery: Delivery, message: Notification, public_url: str
) -> EmailMessage:
    """The e-mail; its id is the same at each attempt, so that one that is repeated is noticed."""
    mail = EmailMessage()
    mail["Subject"] = _printable(f"[edgesync] {subject_of(message)}")
    mail["From"] = spec.sender
    mail["To"] = ", ".join(spec.to)
    mail["Date"] = format_datetime(delivery.created)
    mail["Message-ID"] = f"<{delivery.id}@edgesync>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(plain_text(message, public_url))
    return mail


def _printable(text: str) -> str:
    """*text* on one line."""
    return "".join(mark if mark.isprintable() else " " for mark in text)
