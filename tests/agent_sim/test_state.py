"""What a node keeps on disk."""

import os
import signal
import stat
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from agent_sim.errors import StateError
from agent_sim.model import BodyKind, BodyName, HeldApp, Part, Status
from agent_sim.state import APPS, CA, CERTIFICATE, KEY, NODE, NodeDirectory, NodeIdentity
from tests.agent_sim.authority import SimulatorAuthority

SECRET = Part(BodyName(BodyKind.SECRET, "s", "2"), {"name": "s", "data": {"k": "c2VjcmV0"}})
APPLICATION = HeldApp(
    "web",
    "3",
    {"name": "web", "services": [{"name": "web", "replica": 2}]},
    (SECRET,),
    status=Status.RUNNING,
    started=datetime(2026, 11, 23, 12, tzinfo=UTC),
)


@pytest.fixture
def directory(tmp_path: Path) -> NodeDirectory:
    return NodeDirectory(tmp_path / "sim" / "n1")


def identity(authority: SimulatorAuthority, directory: NodeDirectory) -> NodeIdentity:
    certificate = authority.certificate("default.n1", directory.key().public_key())
    return NodeIdentity("default.n1", certificate, authority.root_pem)


def test_what_was_saved_is_there_at_the_next_start(
    directory: NodeDirectory, authority: SimulatorAuthority
) -> None:
    saved = identity(authority, directory)
    directory.save_identity(saved)
    directory.save_apps((APPLICATION,))
    again = NodeDirectory(directory.path)
    assert again.node_id() == "default.n1"
    assert again.apps() == (APPLICATION,)
    assert again.key().private_numbers() == directory.key().private_numbers()
    assert again.tls().check_hostname


def test_a_new_node_has_no_identity_and_holds_nothing(directory: NodeDirectory) -> None:
    assert directory.node_id() is None
    assert directory.apps() == ()


def test_no_other_user_may_read(directory: NodeDirectory, authority: SimulatorAuthority) -> None:
    directory.save_identity(identity(authority, directory))
    directory.save_apps((APPLICATION,))
    assert stat.S_IMODE(directory.path.stat().st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in directory.path.iterdir()}
    assert modes == dict.fromkeys((KEY, CERTIFICATE, CA, NODE, APPS), 0o600)


def test_an_existing_directory_is_closed_to_others(tmp_path: Path) -> None:
    path = tmp_path / "open"
    path.mkdir(mode=0o755)
    NodeDirectory(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o700


@pytest.mark.parametrize("content", [b"", b"{", b"null", b'{"apps": [{"name": 1}]}', b"\xff"])
def test_a_damaged_file_is_named(directory: NodeDirectory, content: bytes) -> None:
    path = directory.path / APPS
    path.write_bytes(content)
    with pytest.raises(StateError) as caught:
        directory.apps()
    assert caught.value.path == path


def test_a_node_id_that_is_none_is_named(directory: NodeDirectory) -> None:
    (directory.path / NODE).write_text('{"node_id": "a/b"}')
    with pytest.raises(StateError) as caught:
        directory.node_id()
    assert caught.value.path == directory.path / NODE


def test_a_damaged_key_is_named(directory: NodeDirectory) -> None:
    rsa_key = rsa.generate_private_key(65537, 2048)
    for content in (
        b"no key",
        rsa_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    ):
        (directory.path / KEY).write_bytes(content)
        with pytest.raises(StateError) as caught:
            directory.key()
        assert caught.value.path == directory.path / KEY


@pytest.mark.parametrize("name", [CA, CERTIFICATE])
def test_a_certificate_that_is_gone_is_named(
    directory: NodeDirectory, authority: SimulatorAuthority, name: str
) -> None:
    directory.save_identity(identity(authority, directory))
    (directory.path / name).unlink()
    with pytest.raises(StateError) as caught:
        directory.tls()
    assert caught.value.path == directory.path / name


def test_a_path_that_cannot_be_a_directory_is_named(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    with pytest.raises(StateError) as caught:
        NodeDirectory(path)
    assert caught.value.path == path


def test_a_file_that_cannot_be_written_or_read_is_named(directory: NodeDirectory) -> None:
    (directory.path / APPS).mkdir()
    for use in (directory.apps, lambda: directory.save_apps(())):
        with pytest.raises(StateError) as caught:
            use()
        assert caught.value.path == directory.path / APPS


def test_a_killed_writer_leaves_the_old_or_the_new_content(directory: NodeDirectory) -> None:
    """A process saves without end, longer and shorter, and is killed again and again."""
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from agent_sim.model import HeldApp\n"
        "from agent_sim.state import NodeDirectory\n"
        "directory = NodeDirectory(Path(sys.argv[1]))\n"
        "number = 0\n"
        "while True:\n"
        "    number += 1\n"
        "    text = 'x' * (number % 7 * 50_000)\n"
        "    directory.save_apps([HeldApp('web', str(number), {'text': text})])\n"
        "    print(number, flush=True)\n"
    )
    for _ in range(4):
        with subprocess.Popen(
            [sys.executable, "-c", program, str(directory.path)], stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(10)]
            os.kill(process.pid, signal.SIGKILL)
        [app] = directory.apps()
        assert int(app.version) >= int(lines[-1])
