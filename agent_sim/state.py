"""One directory for each node: its key and certificate, and the apps it holds.

Every file is replaced as a whole (written beside, synced, renamed), so that an agent that is killed
leaves the old or the new one. `node.json` is written last of an identity: without it there is none.
The certificate before the last is kept until the last has connected; the key is that of both. `seq`
is not kept, since a node chooses a new `run` at each start (docs/protocol.md, "A node in one
page").

The directory is for its owner alone (0700), and so is each file (0600): held secrets are in
`apps.json`, as a node that restarts without a connection needs them, sealed to a key of
`encryption.json` unless the node knows no sealing.
"""

import os
import ssl
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import msgspec
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from agent_sim.errors import StateError
from agent_sim.model import HeldApp
from agent_sim.sealing import SealingKeys
from agent_sim.watch import leave_dates
from broker.topics import is_node_id_level

KEY, CERTIFICATE, CA, NODE, APPS = "key.pem", "cert.pem", "ca.pem", "node.json", "apps.json"
SEALING = "encryption.json"
PREVIOUS = "cert.old.pem"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class NodeIdentity:
    """The result of activation; PEM texts."""

    node_id: str
    certificate: str
    ca: str


@dataclass(frozen=True, slots=True)
class _Node:
    node_id: str


@dataclass(frozen=True, slots=True)
class _Apps:
    apps: tuple[HeldApp, ...]


class NodeDirectory:
    """Owns the files of one node; blocking, and for one process at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        # Held by the thread that changes the encryption keys.
        self._sealing = threading.Lock()
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.chmod(0o700)
        except OSError as error:
            raise StateError(path, error.strerror or str(error)) from error

    def key(self) -> ec.EllipticCurvePrivateKey:
        """The node's P-256 key; made at the first call."""
        pem = self._read(KEY)
        if pem is None:
            key = ec.generate_private_key(ec.SECP256R1())
            self._write(KEY, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
            return key
        try:
            loaded = load_pem_private_key(pem, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise StateError(self.path / KEY, "not a private key in PEM") from error
        if not isinstance(loaded, ec.EllipticCurvePrivateKey):
            raise StateError(self.path / KEY, "not an elliptic curve key")
        return loaded

    def save_identity(self, identity: NodeIdentity) -> None:
        """Keep what activation gave."""
        self._write(CA, identity.ca.encode())
        self._write(CERTIFICATE, identity.certificate.encode())
        self._write(NODE, msgspec.json.encode(_Node(identity.node_id)))

    def identity(self) -> NodeIdentity | None:
        """The node's identity; None until it was activated."""
        node_id = self.node_id()
        if node_id is None:
            return None
        texts = [self._read(name) for name in (CERTIFICATE, CA)]
        if None in texts:
            raise StateError(self.path / NODE, f"there is no {CERTIFICATE}, or no {CA}")
        certificate, ca = (text.decode("utf-8", "replace") for text in texts if text is not None)
        try:
            x509.load_pem_x509_certificate(certificate.encode())
        except ValueError as error:
            raise StateError(self.path / CERTIFICATE, "not a certificate in PEM") from error
        return NodeIdentity(node_id, certificate, ca)

    def save_renewed(self, certificate: str) -> None:
        """Keep another certificate for the same key, and the one before beside it."""
        before = self._read(CERTIFICATE)
        if before is not None:
            self._write(PREVIOUS, before)
        self._write(CERTIFICATE, certificate.encode())

    def sealing_keys(self, now: datetime) -> SealingKeys:
        """The keys to which secrets are sealed, by the server's time *now*; made where missing."""
        signer, seconds = self.key(), int(now.timestamp())
        with self._sealing:
            keys = self._sealing_keys()
            if keys.is_current(signer, seconds):
                return keys
            return self._save_sealing(keys.renewed(signer, seconds))

    def renew_sealing_key(self, now: datetime) -> None:
        """Make the next key, if the node has one."""
        with self._sealing:
            keys = self._sealing_keys()
            if keys.newest is not None:
                self._save_sealing(keys.renewed(self.key(), int(now.timestamp())))

    def _sealing_keys(self) -> SealingKeys:
        return self._decode(SEALING, SealingKeys) or SealingKeys()

    def _save_sealing(self, keys: SealingKeys) -> SealingKeys:
        self._write(SEALING, msgspec.json.encode(keys))
        return keys

    def forget_previous(self) -> None:
        """Let the certificate before the last go, if it is there."""
        (self.path / PREVIOUS).unlink(missing_ok=True)

    def node_id(self) -> str | None:
        """Who the node is; None until it was activated."""
        node = self._decode(NODE, _Node)
        if node is None:
            return None
        if not is_node_id_level(node.node_id):
            raise StateError(self.path / NODE, "not a node id")
        return node.node_id

    def tls(self, *, previous: bool = False) -> ssl.SSLContext:
        """Context for MQTT: trusts the `ca` of the activation alone, shows the certificate.

        Dates are for `Watch.check`.

        With *previous* it shows the one before, where that is still there.
        """
        certificate = self.path / CERTIFICATE
        if previous and (self.path / PREVIOUS).exists():
            certificate = self.path / PREVIOUS
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        leave_dates(context)
        try:
            context.load_verify_locations(self.path / CA)
        except (OSError, ssl.SSLError) as error:
            raise StateError(self.path / CA, f"no certificate to trust: {error}") from error
        try:
            context.load_cert_chain(certificate, self.path / KEY)
        except (OSError, ssl.SSLError) as error:
            reason = f"no certificate for the key in {KEY}: {error}"
            raise StateError(certificate, reason) from error
        return context

    def save_apps(self, apps: Iterable[HeldApp]) -> None:
        """Keep *apps* and nothing else."""
        self._write(APPS, msgspec.json.encode(_Apps(tuple(apps))))

    def apps(self) -> tuple[HeldApp, ...]:
        """The state that was saved last; empty at the first start."""
        saved = self._decode(APPS, _Apps)
        return saved.apps if saved is not None else ()

    def _decode(self, name: str, shape: type[T]) -> T | None:
        data = self._read(name)
        if data is None:
            return None
        try:
            return msgspec.json.decode(data, type=shape)
        except (msgspec.MsgspecError, ValueError) as error:
            raise StateError(self.path / name, str(error)) from error

    def _read(self, name: str) -> bytes | None:
        try:
            return (self.path / name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StateError(self.path / name, error.strerror or str(error)) from error

    def _write(self, name: str, data: bytes) -> None:
        path, beside = self.path / name, self.path / f".{name}.new"
        try:
            descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                os.fchmod(file.fileno(), 0o600)
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, path)
            _sync_directory(self.path)
        except OSError as error:
            raise StateError(path, error.strerror or str(error)) from error


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_ca(path: Path) -> ssl.SSLContext:
    """Context that trusts the authorities in *path* alone; StateError names the file."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_verify_locations(path)
    except (OSError, ssl.SSLError) as error:
        raise StateError(path, f"no certificate to trust: {error}") from error
    return context
