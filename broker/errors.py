"""The errors of this package.

BrokerError
├── MalformedTopic     not a topic of this protocol
├── MalformedMessage   bytes that are not a message of this protocol
├── MalformedPacket    bytes that are not a packet of MQTT
├── WrongVersion       a CONNECT of a version of MQTT that is not spoken here
├── BrokerRefused      a broker does not let this server connect
├── BrokerMissing      there is no Mosquitto that could be started
├── BrokerNotStarted   Mosquitto was started and does not listen
├── MalformedCredentials  a file that holds no credentials for NATS
├── MalformedRequest   bytes that are no authorization request of NATS
└── HubClosed          the hub was closed, nothing more is received
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


class MalformedPacket(BrokerError):
    """Bytes that are no packet of MQTT; the connection they came on has to be closed."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class WrongVersion(BrokerError):
    """A CONNECT of another version of MQTT than 3.1.1."""


class BrokerRefused(BrokerError):
    """A broker does not let this server connect; `code` is that of the CONNACK (3.2.2.2)."""

    def __init__(self, code: int) -> None:
        self.code = code
        super().__init__(f"the broker refuses this server: {code:#04x}")


class BrokerMissing(BrokerError):
    """There is no Mosquitto that could be started; `reason` names the cause."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class BrokerNotStarted(BrokerError):
    """Mosquitto was started and does not listen; `reason` is the last line of its log."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class MalformedCredentials(BrokerError):
    """A file that does not hold the credentials of servers for NATS; `reason` names the cause."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class MalformedRequest(BrokerError):
    """Bytes that are no authorization request of NATS; `reason` names the cause."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class HubClosed(BrokerError):
    """Nothing more is received: the hub was closed and all that it held has been taken."""

    def __init__(self) -> None:
        super().__init__("the hub is closed")
