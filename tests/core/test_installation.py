"""The token that brings in a machine, and the command that carries it."""

import base64
import hashlib
import shlex
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from cloud.core.installation import InstallToken, TargetKind, digest_of, install_command

NOW = datetime(2026, 1, 2, tzinfo=UTC)
URL = "https://edge.example.com:9003"


def test_a_token_is_valid_until_it_expires() -> None:
    token = InstallToken("d", "default", TargetKind.NODE, "n", NOW, NOW + timedelta(hours=1))
    assert token.is_valid(NOW)
    assert not token.is_valid(token.expires)


@given(st.text())
def test_any_text_has_a_digest_that_does_not_show_it(token: str) -> None:
    if token.isprintable():
        assert digest_of(token) == hashlib.sha256(token.encode()).hexdigest()
    assert len(digest_of(token)) == 64


@given(st.text())
def test_text_that_is_not_unicode_has_a_digest_too(token: str) -> None:
    assert digest_of(token + "\udc80") != digest_of(token)


def test_the_command_is_one_line_that_trusts_the_root_it_carries_and_nothing_else() -> None:
    root = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
    command = install_command(URL, root, "a-token")
    assert "\n" not in command
    shell, option, script, name = shlex.split(command)
    assert (shell, option, name) == ("sh", "-c", "edgesync")
    words = shlex.split(script, posix=True)
    assert base64.b64encode(root.encode()).decode() in words
    curl = words[words.index("curl") :]
    assert curl[:3] == ["curl", "-q", "-fsS"]
    assert curl[curl.index("--cacert") + 1] == "$d/ca.pem"
    assert curl[curl.index("--capath") + 1] == "$d"
    assert f"{URL}/v1/init/install.sh?token=a-token;" in curl
    assert not {"-k", "--insecure"} & set(words)
