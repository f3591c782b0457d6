"""The agent's next certificate: when it is asked for, what is believed, what a crash leaves."""

import json
import os
import ssl
import sys
import time
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from agent_sim.renewal import renewal_time as of_simulated_nodes
from certs.authority import Authority
from certs.keys import key_pem, new_private_key
from edgesync_agent.certificate import check, dates
from edgesync_agent.clock import Clock
from edgesync_agent.errors import AgentError
from edgesync_agent.renewal import Renewal, renewal_time

NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)
NODE = "default.gate-7"
SERIALS = count(10)
AUTHORITY, _ = Authority.create("a", now=NOW - 500 * DAY, serials=(1, 2))
FOREIGN, _ = Authority.create("b", now=NOW - 500 * DAY, serials=(3, 4))
KEY = new_private_key()
OPENSSL = pytest.mark.parametrize("openssl", ["openssl", None])


def given(
    *, authority: Authority = AUTHORITY, node: str = NODE, key: Any = KEY, age: int = 0
) -> dict[str, Any]:
    at = NOW - age * DAY
    issued = authority.issue_node(key.public_key(), node, now=at, serial=next(SERIALS))
    return {"cert": issued.certificate_pem, "chain": issued.issuer_pem}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "key.pem").write_bytes(key_pem(KEY))
    (tmp_path / "ca.pem").write_text(AUTHORITY.root_pem)
    (tmp_path / "cert.pem").write_text(given(age=1)["cert"])
    return tmp_path


@pytest.fixture
def log() -> list[str]:
    return []


def renewal(folder: Path, log: list[str]) -> Renewal:
    return Renewal(
        folder, {"nodeId": NODE, "activation": "https://127.0.0.1:9"}, log.append, Clock()
    )


@OPENSSL
def test_a_certificate_for_this_node_and_key_is_taken(folder: Path, openssl: str | None) -> None:
    good, at = given(), NOW.timestamp()
    paths = folder / "key.pem", folder / "ca.pem"
    assert check(good, NODE, *paths, at, openssl) == good["cert"]
    assert sorted(path.name for path in folder.iterdir()) == ["ca.pem", "cert.pem", "key.pem"]
    begins, ends = dates(folder / "cert.pem", openssl)
    assert (begins, ends) == (
        (NOW - DAY - timedelta(hours=1)).timestamp(),
        (NOW + 89 * DAY).timestamp(),
    )


@OPENSSL
@pytest.mark.parametrize(
    "bad",
    [
        {},
        {"cert": "x", "chain": "x"},
        given(node="default.gate-8"),
        given(key=new_private_key()),
        given(authority=FOREIGN),
        {**given(), "chain": FOREIGN.trusted_pem},
        given(age=100),
        given(age=-2),
    ],
)
def test_anything_else_is_not(folder: Path, bad: dict[str, Any], openssl: str | None) -> None:
    with pytest.raises(AgentError):
        check(bad, NODE, folder / "key.pem", folder / "ca.pem", NOW.timestamp(), openssl)


@pytest.mark.parametrize("node", ["default.gate-7", "default.gate-8", "a.b"])
def test_both_agents_renew_at_the_same_time(node: str) -> None:
    ends = NOW + 90 * DAY
    theirs = of_simulated_nodes(node, NOW, ends).timestamp()
    assert renewal_time(node, NOW.timestamp(), ends.timestamp()) == pytest.approx(theirs, abs=0.01)


def test_it_is_asked_for_when_it_is_time_and_put_in_place(folder: Path, log: list[str]) -> None:
    (folder / "cert.pem").write_text(given(age=80)["cert"])
    old = (folder / "cert.pem").read_text()
    asked: list[Any] = []
    mine = renewal(folder, log)
    assert mine.is_due()
    assert not mine.tend(lambda *message: asked.append(message), 0.0)
    assert not mine.tend(lambda *message: asked.append(message), 1.0)
    [(channel, kind, _, content)] = asked
    assert (channel, kind) == ("renew", "renew")
    assert "CERTIFICATE REQUEST" in content["csr"]
    new = given()
    server_time = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    answer = {"kind": "renew", "meta": {"time": server_time}, "content": {"certificate": new}}
    assert mine.take(json.dumps(answer).encode(), 2.0)
    assert (folder / "cert.pem").read_text() == new["cert"]
    assert (folder / "cert.old.pem").read_text() == old
    assert not mine.is_due()
    mine.failures = 1  # the new one does not connect: the one before has its turn
    assert mine.certificate().name == "cert.old.pem"
    mine.connected()
    assert (folder / "cert.old.pem").exists()
    mine.connected()
    assert not (folder / "cert.old.pem").exists()
    assert mine.certificate().name == "cert.pem"


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"[]",
        b'{"kind": "error", "meta": {}, "content": "no"}',
        b'{"kind": "renew", "meta": {}, "content": {}}',
        b'{"kind": "renew", "meta": {}, "content": {"certificate": {"cert": "", "chain": ""}}}',
    ],
)
def test_a_useless_answer_changes_nothing_and_is_not_asked_for_again_at_once(
    folder: Path, log: list[str], payload: bytes
) -> None:
    (folder / "cert.pem").write_text(given(age=80)["cert"])
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    mine = renewal(folder, log)
    asked: list[Any] = []
    assert not mine.take(payload, 0.0)
    mine.tend(lambda *message: asked.append(message), 1.0)
    assert asked == []
    mine.tend(lambda *message: asked.append(message), 61.0)
    assert len(asked) == 1
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert log


def test_a_clock_that_is_years_ahead_does_not_renew_for_ever(folder: Path, log: list[str]) -> None:
    mine = renewal(folder, log)
    mine.clock.skew = 14 * 365 * 86400.0
    assert mine.is_due()
    server_time = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    answer = {"kind": "renew", "meta": {"time": server_time}, "content": {"certificate": given()}}
    assert mine.take(json.dumps(answer).encode(), 0.0)
    assert not mine.is_due()


def test_killed_at_any_step_the_pair_works(folder: Path) -> None:
    """Each write, rename and sync of the change is where the process ends once."""
    answer = {"certificate": given()}
    steps = 0
    while True:
        child = os.fork()
        if child == 0:
            _die_at(steps)
            renewal(folder, [])._put(answer, None)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
        check(
            {"cert": (folder / "cert.pem").read_text(), "chain": answer["certificate"]["chain"]},
            NODE,
            folder / "key.pem",
            folder / "ca.pem",
            NOW.timestamp(),
            None,
        )
        if status == 0:
            break
        steps += 1
    assert steps > 5


def _die_at(step: int) -> None:
    """End this process at the *step*th call that changes a file below."""
    left = [step]

    def hook(event: str, arguments: Any) -> None:
        is_change = event in {"os.rename", "os.remove"} or (
            event == "open" and ".pem" in str(arguments[0]) and arguments[2] & os.O_WRONLY
        )
        if is_change:
            left[0] -= 1
            if left[0] < 0:
                os._exit(9)

    sys.addaudithook(hook)
