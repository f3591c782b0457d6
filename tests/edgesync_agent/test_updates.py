"""An agent that replaces itself, as processes that really run; and what it believes."""

import base64
import hashlib
import io
import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa

import edgesync_agent
from certs.authority import Authority, Signer
from certs.keys import new_private_key
from certs.profiles import Issuer, intermediate
from cloud.link.agent_updates import agent_manifest
from edgesync_agent.errors import AgentError
from edgesync_agent.offers import checked_offer

NOW = datetime(2026, 1, 2, tzinfo=UTC)

MAIN = """
import sys, time
from pathlib import Path
from edgesync_agent.offers import Offer
from edgesync_agent import updates
home = Path(sys.argv[sys.argv.index("--home") + 1])
def note(word):
    with open(home / "lines", "a") as file:
        file.write(f"{name} {word}\\n")
if sys.argv[1] == "try":
    note("tries")
    {trial}
    sys.exit()
it = updates.Updates(home, updates.own_program(), lambda line: None)
it.begin(0.0)
note("runs")
{run}
note(f"answers {it.answer}")
"""

TAKE = """
import hashlib
offered = home / "offered.pyz"
if offered.exists():
    data = offered.read_bytes()
    offered.unlink()
    it.take(Offer(data, hashlib.sha256(data).hexdigest(), "2026"), "c1")
"""
CONFIRM = "it.confirm()"


def program(name: str, *, trial: str = "", run: str = "") -> bytes:
    """An agent that consists of its updates alone, with a name."""
    main = MAIN.replace("{trial}", trial or "pass").replace("{run}", run).replace("{name}", name)
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr(zipfile.ZipInfo("__main__.py"), main)
        for source in Path(edgesync_agent.__file__).parent.glob("*.py"):
            entry = zipfile.ZipInfo(f"edgesync_agent/{source.name}")
            archive.writestr(entry, source.read_bytes())
    return made.getvalue()


class UpdatedMachine:
    """A home directory with an agent in it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.file = home / "agent.pyz"
        self.old = program("old", run=TAKE)
        self.file.write_bytes(self.old)

    def start(self) -> None:
        command = [sys.executable, str(self.file), "run", "--home", str(self.home)]
        subprocess.run(command, check=False, timeout=60, stderr=subprocess.DEVNULL)

    def offer(self, new: bytes) -> None:
        (self.home / "offered.pyz").write_bytes(new)

    def lines(self) -> list[str]:
        return (self.home / "lines").read_text().splitlines()

    def left(self) -> set[str]:
        return {path.name for path in self.home.iterdir()} - {"lines", "update-time"}


@pytest.fixture
def machine(tmp_path: Path) -> UpdatedMachine:
    return UpdatedMachine(tmp_path)


def test_a_new_agent_is_tried_then_put_in_place_and_stays_once_it_has_reported(
    machine: UpdatedMachine,
) -> None:
    new = program("new", run=CONFIRM)
    machine.offer(new)
    machine.start()
    assert machine.file.read_bytes() == new
    digest = hashlib.sha256(new).hexdigest()[:12]
    done = f"('c1', 'done', '{edgesync_agent.VERSION} ({digest}) runs\\n')"
    assert machine.lines() == ["old runs", "new tries", "new runs", f"new answers {done!s}"]
    assert machine.left() == {"agent.pyz"}


@pytest.mark.parametrize("trial", ["sys.exit('no way')", "raise OSError('no way')"])
def test_an_agent_that_does_not_connect_is_never_put_in_place(
    machine: UpdatedMachine, trial: str
) -> None:
    machine.offer(program("new", trial=trial))
    machine.start()
    assert machine.file.read_bytes() == machine.old
    assert machine.lines()[:2] == ["old runs", "new tries"]
    assert "'failed'" in machine.lines()[2]
    assert "no way" in machine.lines()[2]
    assert machine.left() == {"agent.pyz"}


def test_what_is_no_program_is_never_put_in_place(machine: UpdatedMachine) -> None:
    machine.offer(b"\0 no program")
    machine.start()
    assert machine.file.read_bytes() == machine.old
    assert "'failed'" in machine.lines()[-1]


def test_a_new_agent_that_ends_goes_back_to_the_old_one(machine: UpdatedMachine) -> None:
    machine.offer(program("new", run="it.go_back('it ended')"))
    machine.start()
    assert machine.file.read_bytes() == machine.old
    failed = "old answers ('c1', 'failed', 'it ended')"
    assert machine.lines() == ["old runs", "new tries", "new runs", "old runs", failed]
    assert machine.left() == {"agent.pyz"}


def test_a_new_agent_that_never_reports_goes_back_after_so_many_starts(
    machine: UpdatedMachine,
) -> None:
    machine.offer(program("new", run="sys.exit(1)"))
    for _ in range(3):
        machine.start()
        assert machine.file.read_bytes() != machine.old
    machine.start()
    assert machine.file.read_bytes() == machine.old
    assert machine.lines().count("new runs") == 3
    assert "in 3 starts" in machine.lines()[-1]
    machine.start()
    assert machine.lines()[-1] == "old answers None"


KILLER = """
import os, runpy, signal, sys
home, kill_at = sys.argv[1], int(sys.argv[2])
count = 0
def hook(event, arguments):
    global count
    path = str(arguments[0]) if arguments else ""
    changes = {"os.rename", "os.remove", "os.mkdir", "os.rmdir"}
    is_opened = event == "open" and isinstance(arguments[2], int)
    is_write = event in changes or is_opened and arguments[2] & (os.O_WRONLY | os.O_RDWR)
    if is_write and path.startswith(home) and not path.endswith(("lines", "offered.pyz")):
        count += 1
        if count == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(hook)
sys.argv = [home + "/agent.pyz", "run", "--home", home]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def in_place(machine: UpdatedMachine) -> None:
    """Have the new agent in the place of the old one, not confirmed."""
    machine.offer(program("new"))
    machine.start()
    new = program("new", run=CONFIRM)
    machine.file.write_bytes(new)
    state = machine.home / "update.json"
    content = json.loads(state.read_text())
    state.write_text(json.dumps({**content, "digest": hashlib.sha256(new).hexdigest()}))


@pytest.mark.slow
@pytest.mark.parametrize("is_in_place", [False, True], ids=["taken", "confirmed"])
def test_a_power_cut_at_any_write_leaves_one_of_the_two_and_nothing_else(
    tmp_path: Path, *, is_in_place: bool
) -> None:
    new, ended = program("new", run=CONFIRM), -1
    for kill_at in range(1, 40):
        home = tmp_path / str(kill_at)
        home.mkdir()
        machine = UpdatedMachine(home)
        if is_in_place:
            in_place(machine)
        else:
            machine.offer(new)
        command = [sys.executable, "-c", KILLER, str(home), str(kill_at)]
        ended = subprocess.run(command, check=False, timeout=60).returncode
        assert machine.file.read_bytes() in {machine.old, new}
        machine.start()
        assert machine.lines()[-1].split()[1] == "answers"
        assert machine.file.read_bytes() == (new if is_in_place or ended == 0 else machine.old)
        assert "update.json" not in machine.left()
        if ended == 0:
            break
    assert ended == 0
    assert kill_at > (2 if is_in_place else 8), "there are that many writes"


def authority(key: Any = None) -> Authority:
    made, root_key = Authority.create("Test", now=NOW, serials=(1, 2))
    if key is None:
        return made
    builder = intermediate(key.public_key(), "Test", Issuer.of(made.root), now=NOW, serial=3)
    signer = Signer(builder.sign(root_key, hashes.SHA256()), key)
    return Authority(made.root, signer.certificate, signer.key)


def offer_of(by: Authority, content: bytes = b"program", **changes: str) -> dict[str, str]:
    manifest = agent_manifest(content, NOW)
    return {
        "manifest": manifest,
        "signature": base64.b64encode(by.sign(manifest.encode())).decode(),
        "certificate": by.intermediate_pem,
        "program": base64.b64encode(content).decode(),
        **changes,
    }


def checked(by: Authority, folder: Path, offer: dict[str, str], openssl: str | None) -> Any:
    ca = folder / "ca.pem"
    ca.write_text(by.root_pem)
    return checked_offer(offer, ca, NOW.timestamp() + 60, openssl)


WAYS = [shutil.which("openssl"), None]


@pytest.mark.parametrize("openssl", WAYS, ids=["openssl", "package"])
@pytest.mark.parametrize("kind", ["ecdsa", "rsa"])
def test_what_the_authority_signed_is_believed(
    tmp_path: Path, openssl: str | None, kind: str
) -> None:
    key = rsa.generate_private_key(65537, 2048) if kind == "rsa" else None
    by = authority(key)
    found = checked(by, tmp_path, offer_of(by), openssl)
    assert found.program == b"program"
    assert found.digest == hashlib.sha256(b"program").hexdigest()
    assert found.time == "2026-01-02T00:00:00Z"
    assert {path.name for path in tmp_path.iterdir()} == {"ca.pem"}


def node_signed(by: Authority) -> dict[str, str]:
    """An offer that a node has signed, whose certificate leads to the root as well."""
    key = new_private_key()
    issued = by.issue_node(key.public_key(), "default.n1", now=NOW, serial=9)
    node = Authority(by.root, issued.certificate, key)
    return offer_of(node, certificate=node.intermediate_pem + by.intermediate_pem)


@pytest.mark.parametrize("openssl", WAYS, ids=["openssl", "package"])
@pytest.mark.parametrize(
    "make",
    [
        lambda by: offer_of(authority()),
        lambda by: offer_of(by, certificate=authority().intermediate_pem),
        lambda by: offer_of(by, program=base64.b64encode(b"other").decode()),
        lambda by: offer_of(by, manifest=agent_manifest(b"other", NOW)),
        lambda by: offer_of(by, signature=""),
        node_signed,
    ],
    ids=["foreign", "certificate", "program", "manifest", "unsigned", "node"],
)
def test_what_it_did_not_sign_is_not_believed(
    tmp_path: Path, openssl: str | None, make: Callable[[Authority], dict[str, str]]
) -> None:
    by = authority()
    with pytest.raises(AgentError):
        checked(by, tmp_path, make(by), openssl)


@pytest.mark.parametrize("openssl", WAYS, ids=["openssl", "package"])
def test_what_is_signed_for_something_else_is_no_agent(tmp_path: Path, openssl: str | None) -> None:
    by = authority()
    manifest = json.dumps({"kind": "revocation", "sha256": "", "time": ""})
    signature = base64.b64encode(by.sign(manifest.encode())).decode()
    with pytest.raises(AgentError, match="no agent"):
        checked(by, tmp_path, offer_of(by, manifest=manifest, signature=signature), openssl)


def test_a_certificate_that_has_ended_signs_nothing(tmp_path: Path) -> None:
    by = authority()
    ca = tmp_path / "ca.pem"
    ca.write_text(by.root_pem)
    ended = by.intermediate.not_valid_after_utc.timestamp() + 1
    with pytest.raises(AgentError, match="not valid now"):
        checked_offer(offer_of(by), ca, ended, WAYS[0])
