"""A real SMTP server for tests: it wants STARTTLS and a password, and keeps what it got."""

import contextlib
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword, Session

from certs.files import ensure_server_certificate, load_or_create_authority
from certs.tls import client_context, server_context
from tests.ports import free_port

USER, PASSWORD = "edgesync", "open sesame"
ACCEPTED = "250 2.0.0 queued as 4711"


@dataclass
class MailServer:
    """What came in; *reply* is how messages are answered, *tls* what a client trusts it by."""

    port: int = 0
    tls: ssl.SSLContext = field(default_factory=ssl.create_default_context)
    reply: str = ACCEPTED
    recipients: list[list[str]] = field(default_factory=list)
    got: list[EmailMessage] = field(default_factory=list)
    was_encrypted: list[bool] = field(default_factory=list)

    async def handle_DATA(self, _server: Any, session: Session, envelope: Envelope) -> str:
        if self.reply.startswith("250"):
            content = envelope.content
            assert isinstance(content, bytes)
            mail = message_from_bytes(content, policy=policy.default)
            assert isinstance(mail, EmailMessage)
            self.got.append(mail)
            self.recipients.append(list(envelope.rcpt_tos))
            self.was_encrypted.append(session.ssl is not None)
        return self.reply


def _check(_server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
    right = LoginPassword(USER.encode(), PASSWORD.encode())
    return AuthResult(success=data == right, handled=False)


@contextlib.contextmanager
def mail_server(folder: Path, *, is_tls: bool = False) -> Iterator[MailServer]:
    """Take mail meanwhile, on a free port of this machine, with a certificate in *folder*.

    TLS begins with STARTTLS, or with the connection if it *is_tls*; then no
    password is needed.
    """
    now = datetime.now(UTC)
    authority = load_or_create_authority(folder, now=now)
    files = ensure_server_certificate(folder, authority, ["localhost"], ["127.0.0.1"], now=now)
    server = MailServer(free_port(), client_context(authority.root_pem))
    context = server_context(files.certificate_file, files.key_file)
    tls: dict[str, Any] = {"ssl_context" if is_tls else "tls_context": context}
    controller = Controller(
        server,
        "127.0.0.1",
        server.port,
        **tls,
        require_starttls=not is_tls,
        auth_required=not is_tls,
        auth_require_tls=True,
        authenticator=_check,
    )
    controller.start()
    try:
        yield server
    finally:
        controller.stop()
