"""What is true of the machine, and who it is to its batch."""

import hashlib
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from agent_sim import fingerprint as simulated
from agent_sim.errors import FingerprintError
from edgesync_agent.errors import AgentError
from edgesync_agent.machine import Usage, facts, fingerprint

SERIAL = "SN-0815"


@pytest.fixture
def batch(tmp_path: Path) -> dict[str, Any]:
    file = tmp_path / "sn.txt"
    file.write_text(f"  {SERIAL} \nsecond line\n")
    return {"snPath": str(file), "inputField": "number"}


def joined(*values: str) -> str:
    text = "\n".join(value.strip().lower() for value in values)
    return hashlib.sha256(text.encode()).hexdigest()[:40]


def test_one_property_is_the_fingerprint_itself(batch: dict[str, Any]) -> None:
    assert fingerprint({**batch, "type": 1}) == SERIAL
    assert fingerprint({**batch, "type": 4}) == socket.gethostname()


def test_several_are_joined_in_the_order_of_their_bits(batch: dict[str, Any]) -> None:
    name = socket.gethostname()
    assert fingerprint({**batch, "type": 5}) == joined(SERIAL, name)
    boot = Path("/proc/sys/kernel/random/boot_id")
    if boot.exists():
        assert fingerprint({**batch, "type": 13}) == joined(SERIAL, name, boot.read_text())


@pytest.mark.parametrize(("kind", "word"), [(1, "sn"), (2, "EDGESYNC_INPUT"), (3, "sn")])
def test_what_lacks_is_named(batch: dict[str, Any], kind: int, word: str) -> None:
    with pytest.raises(AgentError, match=word):
        fingerprint({**batch, "snPath": "/nowhere/sn", "type": kind})


FILES = {
    "proc/sys/kernel/random/boot_id": "BOOT-ID\n",
    "sys/class/dmi/id/product_uuid": "System-UUID\n",
    "etc/machine-id": "0123abcd\n",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_every_combination_is_what_the_simulator_makes_of_it(
    batch: dict[str, Any], root: Path
) -> None:
    environ = {"EDGESYNC_INPUT": " typed "}
    sources = simulated.Sources(Path(batch["snPath"]), " typed ", root)
    made = {kind: fingerprint({**batch, "type": kind}, root, environ) for kind in range(1, 64)}
    assert made == {kind: simulated.fingerprint(kind, sources) for kind in range(1, 64)}
    assert len(set(made.values())) == 63


@pytest.mark.parametrize(
    ("kind", "name", "text", "why"),
    [
        (8, "proc/sys/kernel/random/boot_id", None, "No such file"),
        (16, "sys/class/dmi/id/product_uuid", None, "No such file"),
        (16, "sys/class/dmi/id/product_uuid", b"\n", "it is empty"),
        (16, "sys/class/dmi/id/product_uuid", b"03000200-0400-0500-0006-000700080009\n", "many"),
        (16, "sys/class/dmi/id/product_uuid", b"FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF\n", "many"),
        (32, "etc/machine-id", None, "No such file"),
        (32, "etc/machine-id", b"uninitialized\n", "many machines"),
        (32, "etc/machine-id", b"\xff\xfe", "no text"),
        (32, "etc/machine-id", b"", "it is empty"),
    ],
)
def test_what_is_not_there_is_named_with_its_place_and_why(
    batch: dict[str, Any], root: Path, kind: int, name: str, text: bytes | None, why: str
) -> None:
    if text is None:
        (root / name).unlink()
    else:
        (root / name).write_bytes(text)
    for combined in (kind, kind | 1):
        with pytest.raises(AgentError, match=why) as caught:
            fingerprint({**batch, "type": combined}, root)
        assert str(root / name) in str(caught.value)
        with pytest.raises(FingerprintError):
            simulated.fingerprint(combined, simulated.Sources(Path(batch["snPath"]), "", root))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_fingerprint_names_the_user_who_may_read_it(
    batch: dict[str, Any], root: Path
) -> None:
    (root / "sys/class/dmi/id/product_uuid").chmod(0)
    with pytest.raises(AgentError, match="as root"):
        fingerprint({**batch, "type": 16}, root)


def test_facts_are_those_of_this_machine() -> None:
    found = facts("192.0.2.7", "docker://1")
    assert found["containerRuntime"] == "docker://1"
    assert found["address"] == "192.0.2.7"
    assert found["hostname"] == socket.gethostname()
    assert found["kernelVer"] == os.uname().release
    assert found["os"] == "linux"
    assert found["bootID"] == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert all(isinstance(value, str) for value in found.values())


def test_usage_is_within_capacity() -> None:
    usage = Usage()
    stats = usage.stats()
    assert 0 <= float(stats["usage"]["cpu"]) <= float(stats["capacity"]["cpu"])
    assert 0 < int(stats["usage"]["memory"]) < int(stats["capacity"]["memory"])
