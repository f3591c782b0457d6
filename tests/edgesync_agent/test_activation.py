"""The agent's own key, by either of two makers."""

import stat
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from certs.signing_requests import read_signing_request
from edgesync_agent.activation import activate, ask_to_activate, make_key
from edgesync_agent.errors import Trouble


@pytest.mark.parametrize("openssl", ["openssl", None])
def test_the_request_is_for_the_key_that_is_kept(tmp_path: Path, openssl: str | None) -> None:
    request = make_key(tmp_path, openssl)
    file = tmp_path / "key.pem"
    kept: Any = load_pem_private_key(file.read_bytes(), None)
    assert isinstance(kept.curve, ec.SECP256R1)
    assert read_signing_request(request) == kept.public_key()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["key.pem"]


def test_what_openssl_says_is_passed_on(tmp_path: Path) -> None:
    with pytest.raises(Trouble, match="openssl failed"):
        make_key(tmp_path, "false")


def test_what_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_text("not a certificate")
    settings = {"kind": "node", "token": "t", "activation": "https://127.0.0.1:9"}
    home = tmp_path / "home"
    home.mkdir()
    with pytest.raises(Trouble, match="cannot be reached"):
        activate(home, ca, settings)
    assert list(home.iterdir()) == []
    with pytest.raises(Trouble, match="cannot be reached"):
        ask_to_activate("https://127.0.0.1:9", ca, {})
