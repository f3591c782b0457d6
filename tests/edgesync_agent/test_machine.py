"""What is true of the machine, and who it is to its batch."""

import hashlib
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from edgesync_agent.errors import Trouble
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
    with pytest.raises(Trouble, match=word):
        fingerprint({**batch, "snPath": "/nowhere/sn", "type": kind})


def test_facts_are_those_of_this_machine() -> None:
    found = facts("192.0.2.7")
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
