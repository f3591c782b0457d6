"""What is sealed to a machine opens there, where it is used, and nowhere else."""

import base64
import json
import stat
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from certs.keys import key_digest, key_pem, new_private_key
from cloud.core.encryption_key import EncryptionKey, EncryptionKeyProof, seal_binding
from cloud.operations.encryption_keys import SUITE, check_own_key, sealed_body
from edgesync_agent.clock import Clock
from edgesync_agent.encryption import EncryptionKeys, UnknownKey, binding
from edgesync_agent.hpke import open_sealed, public_key
from edgesync_agent.libcrypto import Libcrypto, PackagePrimitives, Primitives, find_primitives
from edgesync_agent.node import AgentNode
from edgesync_agent.releases import Releases
from edgesync_agent.runtime import LIVE
from edgesync_agent.volumes import Volumes
from tests.edgesync_agent.test_node import FakeApps, FakeServer, converse, reported, tell

NODE = "default.gate-7"
NOW = datetime(2026, 11, 28, 12, tzinfo=UTC).timestamp()
SIGNER = new_private_key()
VALUE = "a value that nothing else has"
BOTH = pytest.mark.parametrize("find", [Libcrypto, PackagePrimitives])
Find = Callable[[], Primitives]


# RFC 9180, A.2.1: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20Poly1305 in base mode.
SECRET_KEY = bytes.fromhex("8057991eef8f1f1af18f4a9491d16a1ce333f695d4db8e38da75975c4478e0fb")
PUBLIC_KEY = bytes.fromhex("4310ee97d88cc1f088a5576c77ab0cf5c3ac797f3d95139c6c84b5429c59662a")
ENCAPSULATED = bytes.fromhex("1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a")
INFO = bytes.fromhex("4f6465206f6e2061204772656369616e2055726e")
CIPHERTEXT = bytes.fromhex(
    "1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db21993c62ce81883d2dd1b51a28"
)
TEXT = b"Beauty is truth, truth beauty"


@BOTH
def test_the_vector_of_the_rfc_opens_as_it_is_and_not_otherwise(find: Find) -> None:
    primitives, sealed = find(), ENCAPSULATED + CIPHERTEXT
    assert public_key(primitives, SECRET_KEY) == PUBLIC_KEY
    assert open_sealed(primitives, SECRET_KEY, sealed, INFO, b"Count-0") == TEXT
    for wrong in (
        (SECRET_KEY, sealed, INFO, b""),
        (SECRET_KEY, sealed, INFO + b"x", b"Count-0"),
        (bytes(32), sealed, INFO, b"Count-0"),
        (SECRET_KEY, bytes(32) + CIPHERTEXT, INFO, b"Count-0"),
        (SECRET_KEY, sealed[:-1], INFO, b"Count-0"),
        (SECRET_KEY, sealed[:40], INFO, b"Count-0"),
        (SECRET_KEY, b"", INFO, b"Count-0"),
    ):
        with pytest.raises(ValueError, match=r"\w"):
            open_sealed(primitives, *wrong)


PAIR = X25519PrivateKey.generate()


@given(st.binary(max_size=300), st.binary(max_size=100), st.integers(min_value=0))
def test_what_the_server_seals_opens_here_by_both_libraries(
    text: bytes, info: bytes, place: int
) -> None:
    sealed = SUITE.encrypt(text, PAIR.public_key(), info=info)
    private = PAIR.private_bytes_raw()
    changed = bytearray(sealed)
    changed[place % len(sealed)] ^= 1 << place % 8
    for primitives in (Libcrypto(), PackagePrimitives()):
        assert open_sealed(primitives, private, sealed, info) == text
        if place % len(sealed) != 31 or place % 8 != 7:  # the one bit that X25519 leaves out
            with pytest.raises(ValueError, match=r"\w"):
                open_sealed(primitives, private, bytes(changed), info)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "identity").mkdir()
    (tmp_path / "identity" / "key.pem").write_bytes(key_pem(SIGNER))
    return tmp_path


def keys_in(
    home: Path,
    *,
    openssl: str | None = None,
    now: float = NOW,
    find: Callable[[], Primitives | None] = find_primitives,
    note: Callable[[str], None] = lambda _: None,
) -> EncryptionKeys:
    return EncryptionKeys(home, home / "identity", openssl, Clock(lambda: now), note, find)


def proof_of(keys: EncryptionKeys) -> EncryptionKeyProof:
    return msgspec.convert(keys.proof(), EncryptionKeyProof)


def sealed_to(keys: EncryptionKeys, name: str = "pw", text: str = VALUE) -> dict[str, Any]:
    body = {
        "name": name,
        "version": "1",
        "labels": {"secret-type": "config"},
        "data": {"pw": base64.b64encode(text.encode()).decode()},
    }
    return sealed_body(NODE, EncryptionKey(keys.names()[0], 0), body)


@pytest.mark.parametrize("openssl", ["openssl", None])
def test_a_key_is_made_once_and_the_server_takes_its_proof(home: Path, openssl: str | None) -> None:
    keys = keys_in(home, openssl=openssl)
    proof = proof_of(keys)
    check_own_key(proof, key_digest(SIGNER.public_key()))
    assert proof.time == NOW
    assert proof_of(keys_in(home, openssl=openssl, now=NOW + 60)) == proof
    (kept,) = (path for path in home.rglob("*") if path.is_file() and path.name != "key.pem")
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert "private" not in (keys.proof() or {})


def test_the_next_key_is_later_and_those_before_open_what_is_sealed_to_them(home: Path) -> None:
    keys = keys_in(home)
    first = proof_of(keys)
    sealed = sealed_to(keys)
    keys.renew()
    second = proof_of(keys)
    assert second.key != first.key
    assert second.time == first.time + 1
    info = binding(NODE, sealed)
    assert info.encode() == seal_binding(NODE, "config", "pw", "1")
    assert set(keys_in(home).open(sealed["sealed"], info)) == {"pw"}
    keys.renew(in_use=[first.key])
    keys.renew(in_use=[first.key])
    assert len(keys.names()) == 3
    keys.renew()
    assert first.key not in keys_in(home).names()
    with pytest.raises(UnknownKey):
        keys.open(sealed["sealed"], info)


def test_another_certificate_key_or_a_key_from_the_future_leads_to_a_new_one(home: Path) -> None:
    ahead = proof_of(keys_in(home, now=NOW + 10**8))
    proof = proof_of(keys_in(home))
    assert proof.key != ahead.key
    assert proof.time == NOW
    other = new_private_key()
    (home / "identity" / "key.pem").write_bytes(key_pem(other))
    keys = keys_in(home)
    check_own_key(proof_of(keys), key_digest(other.public_key()))
    assert set(keys.names()) >= {proof.key, ahead.key}


def test_without_a_library_or_a_readable_file_there_is_no_key_and_a_note(home: Path) -> None:
    notes: list[str] = []
    assert keys_in(home, find=lambda: None, note=notes.append).proof() is None
    assert "no library" in notes.pop()
    (home / "encryption.json").write_text("{")
    assert keys_in(home, note=notes.append).proof() is not None
    assert "cannot be read" in notes.pop()
    (home / "encryption.json").unlink()
    (home / "identity" / "key.pem").unlink()
    assert keys_in(home, note=notes.append).proof() is None
    assert "there is no encryption key" in notes.pop()


class SealedMachine:
    """An agent with keys, and the server that seals to what it reported last."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.notes: list[str] = []
        self.server, self.apps = FakeServer(), FakeApps()
        self.keys = keys_in(home, note=self.notes.append)
        self.releases = Releases(home / "apps", NODE, self.keys)
        self.node = AgentNode(self.releases, self.apps, "run", self.notes.append, Clock())
        self.server.add("web", "7", pw=("secret", {}))
        app = self.server.apps["web"]
        app["services"] = [{"name": "s", "image": "i:1", "volumeMounts": [_MOUNT]}]

    def report(self) -> dict[str, Any]:
        return reported(self.node, self.server)

    def deliver(self, body: dict[str, Any]) -> None:
        self.server.bodies["secret", "pw"] = body
        tell(self.node, self.server, self.server.delta(), seq=self.node.sequence)
        converse(self.node, self.server)

    def mounted(self) -> dict[str, str]:
        volumes = Volumes(self.releases, self.home / "v", self.home / "memory")
        app = self.releases.app("web", "7")
        volumes.switch(app)
        place = Path(volumes.path(app, "pw", LIVE))
        return {one.name: one.read_text() for one in place.iterdir() if one.name[:2] != ".."}

    def files(self) -> Iterator[bytes]:
        """Of the machine, without those in memory."""
        for path in self.home.rglob("*"):
            if path.is_file() and "memory" not in path.parts:
                yield path.read_bytes()


_MOUNT = {"name": "pw", "mountPath": "/pw"}


@pytest.fixture
def machine(home: Path) -> SealedMachine:
    return SealedMachine(home)


def test_a_sealed_secret_is_plain_only_where_it_is_mounted(machine: SealedMachine) -> None:
    assert machine.report()["encryptionKey"]["key"] == machine.keys.names()[0]
    machine.deliver(sealed_to(machine.keys))
    assert machine.apps.arrivals == 1
    assert machine.mounted() == {"pw": VALUE}
    forms = (VALUE.encode(), base64.b64encode(VALUE.encode()), VALUE.encode().hex().encode())
    assert not [data for data in machine.files() if any(form in data for form in forms)]
    assert machine.releases.secret_values() == [VALUE]
    app = machine.releases.app("web", "7")
    assert machine.releases.secret_texts(app, "pw") == {"pw": VALUE}
    again = Releases(machine.home / "apps", NODE, keys_in(machine.home))
    assert again.secret_files(app, "pw") == {"pw": VALUE.encode()}


def test_a_new_certificate_changes_the_key_and_what_is_here_opens_still(
    machine: SealedMachine,
) -> None:
    machine.report()
    machine.deliver(sealed_to(machine.keys))
    for _ in range(3):
        machine.keys.renew(machine.releases.keys_in_use())
    assert machine.mounted() == {"pw": VALUE}


def test_a_secret_in_plain_text_of_an_older_server_is_taken(machine: SealedMachine) -> None:
    encoded = base64.b64encode(VALUE.encode()).decode()
    machine.deliver({"name": "pw", "version": "1", "data": {"pw": encoded}})
    assert machine.mounted() == {"pw": VALUE}


def test_what_is_sealed_to_a_key_that_is_lost_leads_to_a_new_key_and_is_asked_for_again(
    machine: SealedMachine,
) -> None:
    before = machine.report()["encryptionKey"]
    machine.keys._path.unlink()
    lost = machine.keys
    machine.releases.keys = machine.node.keys = keys_in(machine.home)
    machine.deliver(sealed_to(lost))
    assert machine.apps.arrivals == 0
    assert machine.node.changed
    assert machine.node.failed == {}
    after = machine.report()["encryptionKey"]
    assert after["key"] != before["key"]
    machine.deliver(sealed_to(machine.releases.keys))
    assert machine.apps.arrivals == 1
    assert machine.mounted() == {"pw": VALUE}


def test_keys_are_not_made_again_and_again(machine: SealedMachine) -> None:
    machine.report()
    other = keys_in(machine.home / "identity" / "..", now=NOW)
    other.renew()
    machine.deliver(sealed_to(other))
    count = len(machine.keys.names())
    machine.deliver(sealed_to(other))
    assert len(machine.keys.names()) == count
    assert "sealed to a key" in machine.node.failed["web"][1]


@pytest.mark.parametrize("field", ["name", "version", "labels"])
def test_a_body_that_was_sealed_as_another_fails_and_names_why(
    machine: SealedMachine, field: str
) -> None:
    machine.report()
    body = sealed_to(machine.keys, name="other")
    if field == "name":
        body = {**body, "name": "pw"}
    else:
        changed: Any = "2" if field == "version" else {"secret-type": "registry"}
        body = {**sealed_to(machine.keys), field: changed}
        machine.server.apps["web"]["volumes"][0]["secret"]["version"] = body["version"]
    machine.deliver(body)
    assert machine.apps.arrivals == 0
    version, why = machine.node.failed["web"]
    assert version == "7"
    assert "sealed otherwise" in why


def test_a_file_that_was_changed_on_disk_does_not_open(machine: SealedMachine) -> None:
    machine.report()
    machine.deliver(sealed_to(machine.keys))
    (kept,) = machine.home.glob("apps/web/7/sealed/pw")
    content = json.loads(kept.read_text())
    content["info"] = content["info"].replace("gate-7", "gate-8")
    kept.write_text(json.dumps(content))
    with pytest.raises(OSError, match="pw cannot be opened"):
        machine.mounted()
    assert machine.releases.secret_values() == []
