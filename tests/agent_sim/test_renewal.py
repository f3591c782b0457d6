"""When a node renews, and what it believes; the way over real connections is tried end to end."""

from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from agent_sim.errors import ActivationUnreadable
from agent_sim.renewal import checked, renewal_time, share
from agent_sim.state import CERTIFICATE, PREVIOUS, NodeDirectory, NodeIdentity
from certs.authority import Authority

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
DAY = timedelta(days=1)
NODE = "default.n1"
SERIALS = count(10)
AUTHORITY, _ = Authority.create("a", now=NOW, serials=(1, 2))
FOREIGN, _ = Authority.create("b", now=NOW, serials=(3, 4))
KEY = ec.generate_private_key(ec.SECP256R1())
IDENTITY = NodeIdentity(NODE, "", AUTHORITY.root_pem)


def answer(
    *,
    authority: Authority = AUTHORITY,
    node: str = NODE,
    key: ec.EllipticCurvePrivateKey = KEY,
    at: datetime = NOW,
) -> dict[str, Any]:
    issued = authority.issue_node(key.public_key(), node, now=at, serial=next(SERIALS))
    return {"certificate": {"cert": issued.certificate_pem, "chain": issued.issuer_pem}}


@given(st.text(min_size=1), st.integers(1, 4000))
def test_each_node_has_a_time_of_its_own_after_two_thirds(node_id: str, days: int) -> None:
    life = days * DAY
    due = renewal_time(node_id, NOW, NOW + life)
    assert NOW + life * 2 / 3 <= due <= NOW + life * (2 / 3 + 0.1) + timedelta(seconds=1)
    assert due == renewal_time(node_id, NOW, NOW + life)


def test_nodes_that_were_made_together_do_not_come_back_together() -> None:
    tenths = [int(share(f"default.n{number}") * 10) for number in range(1000)]
    assert all(70 < tenths.count(tenth) < 130 for tenth in range(10))


def test_the_share_is_that_of_the_protocol() -> None:
    assert share("default.gate-7") == pytest.approx(0.1879, abs=0.0001)  # docs/protocol.md


def test_a_certificate_for_this_node_and_key_is_taken() -> None:
    good = answer()
    assert checked(good, IDENTITY, KEY, NOW) == good["certificate"]["cert"]
    assert checked({**good, "more": 1}, IDENTITY, KEY, NOW + 89 * DAY)


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ({}, "certificate"),
        ([], "object"),
        ({"certificate": {"cert": "x", "chain": "x"}}, "PEM"),
        (answer(node="default.n2"), "not of default.n1"),
        (answer(key=ec.generate_private_key(ec.SECP256R1())), "another key"),
        (answer(authority=FOREIGN), "verified"),
        ({"certificate": {**answer()["certificate"], "chain": FOREIGN.root_pem}}, "verified"),
        (answer(at=NOW + 10 * DAY), "verified"),
        (
            {
                "certificate": {
                    "cert": AUTHORITY.issue_server(
                        KEY.public_key(), [NODE], [], now=NOW, serial=5
                    ).certificate_pem,
                    "chain": AUTHORITY.trusted_pem,
                }
            },
            "verified",
        ),
    ],
)
def test_anything_else_is_not(content: Any, word: str) -> None:
    with pytest.raises(ActivationUnreadable, match=word):
        checked(content, IDENTITY, KEY, NOW)


def test_a_certificate_that_has_ended_is_not_taken() -> None:
    with pytest.raises(ActivationUnreadable, match="verified"):
        checked(answer(), IDENTITY, KEY, NOW + 91 * DAY)


def test_the_certificate_before_stays_until_it_is_let_go(tmp_path: Any) -> None:
    directory = NodeDirectory(tmp_path)
    directory.key()
    first, second = (answer()["certificate"]["cert"] for _ in range(2))
    assert directory.identity() is None
    directory.save_identity(NodeIdentity(NODE, first, AUTHORITY.root_pem))
    directory.save_renewed(second)
    assert directory.identity() == NodeIdentity(NODE, second, AUTHORITY.root_pem)
    assert (tmp_path / PREVIOUS).read_text() == first
    directory.forget_previous()
    directory.forget_previous()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "ca.pem",
        CERTIFICATE,
        "key.pem",
        "node.json",
    ]
