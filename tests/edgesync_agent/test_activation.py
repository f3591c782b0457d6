"""The agent's own key, by either of two makers."""

import stat
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from certs.signing_requests import read_signing_request
from edgesync_agent.activation import activate, ask_to_activate, keep_key, signing_request
from edgesync_agent.clock import Clock
from edgesync_agent.errors import AgentError

OPENSSL = pytest.mark.parametrize("openssl", ["openssl", None])


@OPENSSL
def test_the_request_is_for_the_key_that_is_kept(tmp_path: Path, openssl: str | None) -> None:
    file = keep_key(tmp_path, tmp_path / "none", openssl)
    kept: Any = load_pem_private_key(file.read_bytes(), None)
    assert isinstance(kept.curve, ec.SECP256R1)
    assert read_signing_request(signing_request(file, openssl)) == kept.public_key()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["key.pem"]


@OPENSSL
def test_a_key_is_made_once(tmp_path: Path, openssl: str | None) -> None:
    first = keep_key(tmp_path, tmp_path / "none", openssl).read_bytes()
    assert keep_key(tmp_path, tmp_path / "none", openssl).read_bytes() == first
    other = tmp_path / "other"
    other.mkdir()
    copy = keep_key(other, tmp_path / "key.pem", openssl)
    assert copy.read_bytes() == first
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600


def test_errors_of_openssl_are_passed_on(tmp_path: Path) -> None:
    with pytest.raises(AgentError, match="openssl failed"):
        keep_key(tmp_path, tmp_path / "none", "false")
    assert list(tmp_path.iterdir()) == []


def test_what_fails_leaves_the_keys_for_the_next_attempt_and_nothing_else(tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_text("not a certificate")
    settings = {"kind": "node", "token": "t", "activation": "https://127.0.0.1:9"}
    home = tmp_path / "home"
    keys = set()
    for _ in range(2):
        with pytest.raises(AgentError, match="cannot be reached"):
            activate(home, ca, settings, Clock())
        kept = sorted(path for path in home.rglob("*") if path.is_file())
        assert kept == [home / "activating" / "key.pem", home / "encryption.json"]
        keys.add((kept[0].read_bytes(), kept[1].read_bytes()))
    assert len(keys) == 1
    with pytest.raises(AgentError, match="cannot be reached"):
        ask_to_activate("https://127.0.0.1:9", ca, {}, Clock())
