"""Answers to the authorization requests that NATS makes of each connection of a node; pure.

NATS asks with a JSON web token that has the client's certificate and MQTT client id, and lets the
client in with the permissions in the answer (NATS, "Auth Callout"; ADR-26 of NATS).
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cryptography import x509

from broker.configuration import MAX_PACKET_BYTES
from broker.errors import MalformedRequest, MalformedTopic
from broker.nats_credentials import NatsCredentials
from broker.peer_certificate import PeerIdentity, identity_in
from broker.topics import FROM_NODE, TO_NODE, Channel, parse_topic, topic_for

REQUEST_BYTES = 64 * 1024
"""Longest authorization request that is read."""

_MAX_SUBSCRIPTIONS = 64  # of a node; one of QoS 1 is three in NATS
_NO_LIMIT = -1
_DELIVERIES = ["$MQTT.sub.>", "$MQTT.deliver.pubrel.>"]  # of messages to a client of MQTT
_NO_SUBJECT = frozenset("*> \t\r\n\0")
_VERSION = 2


@dataclass(frozen=True, slots=True)
class AuthorizationRequest:
    """Who wants to connect, and to which server of the cluster."""

    server: str
    """Public key of the NATS server, for which the answer is."""
    user: str
    """Public key that the answer has to name."""
    protocol: str
    client_id: str
    """Of MQTT; empty for other protocols."""
    address: str
    identity: PeerIdentity | None
    """By the certificate that the client proved to own; None where it has none of a node."""

    @property
    def admissible(self) -> PeerIdentity | None:
        """The node, if the client claims to be the one that its certificate is for."""
        identity = self.identity
        if identity is None or self.protocol != "mqtt":
            return None
        return identity if self.client_id == client_id_for(identity.node_id) else None


def read_request(token: bytes) -> AuthorizationRequest:
    """Read an authorization request; MalformedRequest for anything else.

    It is not verified: only servers of the cluster can publish on the subject it comes by.
    """
    if len(token) > REQUEST_BYTES:
        raise MalformedRequest(f"longer than {REQUEST_BYTES} bytes")
    try:
        claims: dict[str, Any] = json.loads(_decoded(token.split(b".")[1]))["nats"]
        client, server = claims["client_info"], claims["server_id"]
        chains = (claims.get("client_tls") or {}).get("verified_chains") or []
        certificate = x509.load_pem_x509_certificate(chains[0][0].encode()) if chains else None
        return AuthorizationRequest(
            server=str(server["id"]),
            user=str(claims["user_nkey"]),
            protocol=str(client.get("type", "")),
            client_id=str(client.get("mqtt_id", "")),
            address=str(client.get("host", "")),
            identity=identity_in(certificate) if certificate else None,
        )
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise MalformedRequest(repr(error)) from error


def admit(
    request: AuthorizationRequest,
    identity: PeerIdentity,
    account: str,
    credentials: NatsCredentials,
    now: datetime,
) -> bytes:
    """The answer that lets *identity* into *account*, until its certificate expires."""
    node_id = identity.node_id
    permissions = {
        "pub": {"allow": [subject_for(node_id, channel) for channel in sorted(FROM_NODE)]},
        "sub": {
            "allow": [*(subject_for(node_id, channel) for channel in sorted(TO_NODE)), *_DELIVERIES]
        },
        "subs": _MAX_SUBSCRIPTIONS,
        "data": _NO_LIMIT,
        "payload": MAX_PACKET_BYTES,
        "allowed_connection_types": ["MQTT"],
        "type": "user",
        "version": _VERSION,
    }
    ends = int(identity.ends.timestamp())
    user = {"aud": account, "exp": ends, "name": node_id, "nats": permissions}
    inner = _signed(user, request.user, credentials, now).decode()
    return _answer(request, {"jwt": inner}, credentials, now)


def refuse(
    request: AuthorizationRequest, reason: str, credentials: NatsCredentials, now: datetime
) -> bytes:
    """The answer that refuses *request*; only the log of NATS shows *reason*."""
    return _answer(request, {"error": reason}, credentials, now)


def client_id_for(node_id: str) -> str:
    """MQTT client id of a node at NATS, which refuses one with a dot.

    >>> client_id_for("default.gate-7")
    'default/gate-7'
    """
    return node_id.replace(".", "/")


def subject_for(node_id: str, channel: Channel) -> str:
    """Subject of `topic_for` in NATS, where a dot of a topic is two slashes (NATS, "MQTT").

    MalformedTopic for an id that no subject can have.

    >>> subject_for("default.gate-7", Channel.REPORT)
    'edge.v1.default//gate-7.report'
    """
    if not _NO_SUBJECT.isdisjoint(node_id):
        raise MalformedTopic(node_id)
    topic = topic_for(node_id, channel)
    return ".".join(level.replace(".", "//") for level in topic.split("/"))


def parse_subject(subject: str) -> tuple[str, Channel]:
    """Node id and channel of *subject*; the inverse of `subject_for`; MalformedTopic for others."""
    return parse_topic("/".join(level.replace("//", ".") for level in subject.split(".")))


def shared_subject(channel: Channel) -> str:
    """Subject of the messages of all nodes on *channel*."""
    return subject_for("any", channel).replace(".any.", ".*.")


def _answer(
    request: AuthorizationRequest,
    content: Mapping[str, Any],
    credentials: NatsCredentials,
    now: datetime,
) -> bytes:
    kind = {"type": "authorization_response", "version": _VERSION}
    claims = {"aud": request.server, "nats": {**content, **kind}}
    return _signed(claims, request.user, credentials, now)


def _signed(
    claims: Mapping[str, Any], subject: str, credentials: NatsCredentials, now: datetime
) -> bytes:
    issued = {"iat": int(now.timestamp()), "iss": credentials.issuer_name, "sub": subject}
    header = _encoded(json.dumps({"typ": "JWT", "alg": "ed25519-nkey"}).encode())
    content = header + b"." + _encoded(json.dumps({**claims, **issued}).encode())
    return content + b"." + _encoded(credentials.key.sign(content))


def _decoded(part: bytes) -> bytes:
    return base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4))


def _encoded(part: bytes) -> bytes:
    return base64.urlsafe_b64encode(part).rstrip(b"=")
