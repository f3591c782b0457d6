"""The errors of this package.

BrokerError
├── MalformedTopic     not a topic of this protocol
└── MalformedMessage   bytes that are not a message of this protocol
"""


class BrokerError(Exception):
    """Anything this package raises on purpose."""


class MalformedTopic(BrokerError):
    """A topic that no node and no server of this protocol uses."""

    def __init__(self, topic: str) -> None:
        self.topic = topic
        super().__init__(f"not a topic of this protocol: {topic!r}")


class MalformedMessage(BrokerError):
    """Bytes that cannot be read as a message; `reason` names the field and is safe to send back."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)
