"""The key of a database, encrypted with one from outside."""

import base64
import os
import shlex
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cloud.errors import Unavailable
from cloud.store.key_commands import OUTPUT_LIMIT, run_key_command
from cloud.store.key_encryption import (
    KEY_BYTES,
    KeyEncryption,
    KeyFromCommand,
    key_from_file,
    key_from_variable,
)
from cloud.store.sealing import (
    Sealer,
    load_or_create_sealer,
    load_sealing_key,
    replace_sealing_key,
    sealing_key_id,
)
from tests.deadlines import UNIT
from tests.store.conftest import unavailable

KEY = base64.b64encode(bytes(range(KEY_BYTES))).decode()
OTHER = base64.b64encode(bytes(KEY_BYTES)).decode()
PLACE = ("secret", "default", "n")


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


REVERSE = python("import sys; sys.stdout.buffer.write(sys.stdin.buffer.read()[::-1])")
"""Encrypts and decrypts, though not well."""


def from_file(directory: Path, text: str = KEY) -> KeyEncryption:
    file = directory / "outside.key"
    file.touch(0o600)
    file.write_text(text + "\n")
    return key_from_file(file)


def from_variable(_: Path) -> KeyEncryption:
    return key_from_variable("KEK", KEY)


def from_command(_: Path) -> KeyEncryption:
    return KeyFromCommand(REVERSE, REVERSE)


def from_openssl(directory: Path) -> KeyEncryption:
    """As with a PKCS#11 token: the private key decrypts, in another program."""
    private, public = directory / "private.pem", directory / "public.pem"
    make = "openssl genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out"
    for command in (f"{make} {private}", f"openssl pkey -in {private} -pubout -out {public}"):
        subprocess.run(shlex.split(command), check=True, timeout=20 * UNIT, capture_output=True)
    oaep = "-pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha256"
    return KeyFromCommand(
        tuple(shlex.split(f"openssl pkeyutl -encrypt -pubin -inkey {public} {oaep}")),
        tuple(shlex.split(f"openssl pkeyutl -decrypt -inkey {private} {oaep}")),
    )


SOURCES = [from_file, from_variable, from_command, from_openssl]


@pytest.mark.parametrize("source", SOURCES)
def test_the_key_lies_encrypted_and_is_the_same_at_the_next_start(
    source: Callable[[Path], KeyEncryption], tmp_path: Path
) -> None:
    encryption, path = source(tmp_path), tmp_path / "secrets.key"
    text = load_or_create_sealer(path, encryption).seal(b"x", *PLACE)
    assert path.read_text().startswith("encrypted:1:")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert base64.b64encode(load_sealing_key(path, encryption)) not in path.read_bytes()
    assert load_or_create_sealer(path, encryption).unseal(text, *PLACE) == b"x"
    assert repr(load_or_create_sealer(path, encryption)) == f"Sealer({sealing_key_id(path)})"


def test_a_key_that_is_encrypted_otherwise_is_refused_and_stays(tmp_path: Path) -> None:
    path, right = tmp_path / "secrets.key", key_from_variable("KEK", KEY)
    load_or_create_sealer(path, right)
    before = path.read_bytes()
    with unavailable("name its key by key_encryption_file"):
        load_or_create_sealer(path)
    with unavailable(f"is encrypted with the key {right.id}, and key_encryption_variable holds"):
        load_or_create_sealer(path, key_from_variable("KEK", OTHER))
    with unavailable("and key_decryption_command holds command"):
        load_or_create_sealer(path, KeyFromCommand(REVERSE, REVERSE))
    assert path.read_bytes() == before


def test_a_plain_key_is_not_encrypted_by_itself(tmp_path: Path) -> None:
    path = tmp_path / "secrets.key"
    load_or_create_sealer(path)
    before = path.read_bytes()
    with unavailable("edgesync rekey --key-only"):
        load_or_create_sealer(path, key_from_variable("KEK", KEY))
    assert path.read_bytes() == before


def test_another_source_holds_the_same_key(tmp_path: Path) -> None:
    path = tmp_path / "secrets.key"
    text = load_or_create_sealer(path).seal(b"x", *PLACE)
    key = load_sealing_key(path, None)
    sources = (from_file(tmp_path), from_variable(tmp_path), from_command(tmp_path), None)
    for encryption in sources:
        replace_sealing_key(path, key, encryption)
        assert Sealer(load_sealing_key(path, encryption)).unseal(text, *PLACE) == b"x"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["outside.key", "secrets.key"]


@pytest.mark.parametrize("place", [10, 30, 50, -5])
def test_an_encrypted_key_that_was_changed_is_refused(tmp_path: Path, place: int) -> None:
    path, encryption = tmp_path / "secrets.key", key_from_variable("KEK", KEY)
    load_or_create_sealer(path, encryption)
    text = bytearray(path.read_bytes())
    text[place] ^= 1
    path.write_bytes(text)
    with pytest.raises(Unavailable):
        load_or_create_sealer(path, encryption)


def test_a_key_from_outside_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    with unavailable(f"key_encryption_file: {tmp_path / 'none'}: No such file"):
        key_from_file(tmp_path / "none")
    for text in ("", "no key", base64.b64encode(b"short").decode()):
        with unavailable("outside.key does not hold a key"):
            from_file(tmp_path, text)
        with unavailable("key_encryption_variable: KEK does not hold a key"):
            key_from_variable("KEK", text)
    with unavailable("the environment has no variable KEK"):
        key_from_variable("KEK", None)
    from_file(tmp_path)
    (tmp_path / "outside.key").chmod(0o644)
    with unavailable("others can use this file"):
        key_from_file(tmp_path / "outside.key")


def test_a_command_that_does_not_decrypt_is_noticed_before_anything_is_written(
    tmp_path: Path,
) -> None:
    path = tmp_path / "secrets.key"
    another = python(f"print({OTHER!r})")
    with unavailable("key_decryption_command: returned another key"):
        load_or_create_sealer(path, KeyFromCommand(REVERSE, another))
    with unavailable("key_decryption_command: what it wrote does not hold a key"):
        load_or_create_sealer(path, KeyFromCommand(REVERSE, python("print('no key')")))
    with unavailable("key_encryption_command: wrote nothing"):
        load_or_create_sealer(path, KeyFromCommand(python("pass"), REVERSE))
    assert not list(tmp_path.iterdir())


def test_a_command_fails_by_name_and_code() -> None:
    with unavailable("setting: cannot start /nowhere/kms"):
        run_key_command("setting", ["/nowhere/kms"], b"")
    with unavailable("failed with exit code 3"):
        run_key_command("setting", python("raise SystemExit(3)"), b"not read" * 100)


def test_a_command_has_a_time_limit_with_all_that_it_started(tmp_path: Path) -> None:
    began, file = time.monotonic(), tmp_path / "pid"
    command = ("sh", "-c", f"sleep 600 & echo $! > {file}; wait")
    with unavailable("did not end within 1 s"):
        run_key_command("setting", command, b"", seconds=1)
    assert time.monotonic() - began < 600
    while is_running(int(file.read_text())):
        assert time.monotonic() - began < 20 * UNIT


@pytest.mark.timeout(20 * UNIT)
def test_a_command_has_a_time_limit_also_for_what_left_its_process_group(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    command = ("setsid", "--fork", "sh", "-c", f"echo $$ > {file}; exec sleep 600")
    with unavailable("did not end within 1 s"):
        run_key_command("setting", command, b"", seconds=1)
    os.kill(int(file.read_text()), signal.SIGKILL)


def is_running(process_id: int) -> bool:
    """A process that was killed is there until its parent has noticed."""
    try:
        state = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def test_a_command_has_a_bound_for_what_it_writes() -> None:
    with unavailable(f"wrote more than {OUTPUT_LIMIT} bytes"):
        run_key_command("setting", ("yes",), b"")
