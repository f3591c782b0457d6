"""The errors of this package.

SimError
├── StateError               a file of a node's directory cannot be used
├── FingerprintError         a part of the fingerprint is not there
├── FaultRuleError           a fault to simulate that cannot be read
├── ActivationError          no certificate
│   ├── ActivationRefused    the server refused, with a reason
│   ├── ActivationUnanswered the server did not respond
│   └── ActivationUnreadable the response is not one of the protocol
├── UnreadableMessage        a message of the server is not one of the protocol
└── LinkLost                 no MQTT connection, or no longer
    └── IdentifierRefused    the hub does not take the client id
"""

from pathlib import Path


class SimError(Exception):
    """Anything this package raises on purpose."""


class StateError(SimError):
    """A file of a node's directory that is missing, damaged or cannot be written."""

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"{path}: {reason}")


class FingerprintError(SimError):
    """A property that counts and is not there; *source* is where it was looked for."""

    def __init__(self, name: str, source: str, reason: str) -> None:
        self.name = name
        self.source = source
        super().__init__(f"fingerprint: no {name} in {source}: {reason}")


class FaultRuleError(SimError):
    """A rule for faults that cannot be read; *text* is the rule."""

    def __init__(self, text: str, reason: str) -> None:
        self.text = text
        self.reason = reason
        super().__init__(f"{text!r}: {reason}")


class ActivationError(SimError):
    """No certificate; to be tried again later."""


class ActivationRefused(ActivationError):
    """The server's own words."""

    def __init__(self, status: int, code: str, message: str) -> None:
        self.status = status
        self.code = code
        self.message = message
        super().__init__(f"refused with {status} {code}: {message}")


class ActivationUnanswered(ActivationError):
    """No connection, no trust or no answer in time."""

    def __init__(self, url: str, reason: str) -> None:
        self.url = url
        super().__init__(f"no answer from {url}: {reason}")


class ActivationUnreadable(ActivationError):
    """An answer without a certificate that fits the key and the name it came with."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"unusable answer: {reason}")


class UnreadableMessage(SimError):
    """Bytes that are not a message of the protocol; *reason* names what is wrong."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class LinkLost(SimError):
    """There is no MQTT connection (any more)."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class IdentifierRefused(LinkLost):
    """The hub does not take the MQTT client id."""
