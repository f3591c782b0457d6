"""A key of an archive is decrypted by whom it was encrypted to, and by no one else."""

import base64
from pathlib import Path

import pytest

from cloud.store.archive import open_archive, write_archive
from cloud.store.archive_key import (
    identity_decryption,
    passphrase_decryption,
    recipient_encryption,
)
from tests.recipients import new_recipient
from tests.store.conftest import unavailable

KEY = b"the key of an archive"
PASSPHRASE = "open sesame, please"
FIRST, SECOND, OTHER = new_recipient(), new_recipient(), new_recipient()


UNDER_PASSPHRASE = (
    b"age-encryption.org/v1\n"
    b"-> scrypt 67qh2JFVOn6i5bbqAADfow 10\n"
    b"Zru+GTb+qtyAA0xJe0GPGaNT5S2kySEEQC3YOUwB6NA\n"
    b"--- Zi4Ya/JN6vvPktufWd3pdkM6aHfsxHYYLMFy+pNbNp0\n"
) + base64.b64decode(b"Es5MZjBpuIxPzK+0xLaQ12tISmRUORxro0IHqDKm0iamMU3ayyL3qDYJP05NeYxdfxT/Xbk=")
"""KEY under PASSPHRASE, made by the specification with a cost of 2^10, where `age` has 2^18."""


def test_the_passphrase_decrypts_it_and_no_other_does() -> None:
    assert passphrase_decryption(PASSPHRASE)(UNDER_PASSPHRASE) == KEY
    with unavailable("passphrase"):
        passphrase_decryption("open sesame, please!")(UNDER_PASSPHRASE)


def test_a_passphrase_that_would_take_too_long_is_not_called_wrong() -> None:
    with unavailable("Excessive work"):
        passphrase_decryption(PASSPHRASE)(UNDER_PASSPHRASE.replace(b" 10\n", b" 40\n"))


def test_the_other_kind_of_key_is_named() -> None:
    with unavailable("encrypted with a passphrase"):
        FIRST.decrypt(UNDER_PASSPHRASE)
    with unavailable("encrypted to recipients"):
        passphrase_decryption(PASSPHRASE)(FIRST.encrypt(KEY))


def test_each_recipient_decrypts_it_and_no_one_else_does() -> None:
    message = recipient_encryption([FIRST.public_key, SECOND.public_key])(KEY)
    assert FIRST.decrypt(message) == SECOND.decrypt(message) == KEY
    assert identity_decryption(OTHER.identity + SECOND.identity)(message) == KEY
    with unavailable("no identity decrypts"):
        OTHER.decrypt(message)


@pytest.mark.parametrize(
    "text", ["age1", "a name", pytest.param(FIRST.identity.splitlines()[-1], id="private")]
)
def test_what_is_no_public_key_is_refused_and_not_shown(text: str) -> None:
    with pytest.raises(ValueError, match="not a public key") as caught:
        recipient_encryption([FIRST.public_key, text])
    assert text not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["", "# created: now\n", "hello", pytest.param(FIRST.public_key, id="public")]
)
def test_what_is_no_identity_file_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="private key of age"):
        identity_decryption(text)


def test_an_archive_is_opened_by_its_recipient_alone(tmp_path: Path) -> None:
    write_archive(tmp_path / "backup", iter([("a", b"content")]), FIRST.encrypt)
    with unavailable("no identity"), open_archive(tmp_path / "backup", OTHER.decrypt):
        pass
