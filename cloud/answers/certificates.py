"""Answers: certificates of nodes."""

from cloud.answers.common import Answer


class CertificateAnswer(Answer):
    """A node and the end of its last certificate; `lastSeen` null: it never reported."""

    node: str
    namespace: str
    serial: str
    not_after: str
    last_seen: str | None
    ready: bool
