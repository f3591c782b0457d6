"""An authority on disk."""

import shutil
import stat
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from certs.authority import Authority
from certs.errors import BadAuthority, UnsafePermissions
from certs.files import ensure_server_certificate, load_or_create_authority
from certs.pem_files import update_file
from certs.tls import server_context
from tests.certs.conftest import NOW
from tests.certs.cut_short import start


def server_serial(directory: Path) -> int:
    return x509.load_pem_x509_certificate((directory / "server.pem").read_bytes()).serial_number


def ensure(directory: Path, authority: Authority, *names: str, later: int = 0) -> int:
    ensure_server_certificate(
        directory,
        authority,
        names or ("localhost",),
        ["127.0.0.1"],
        now=NOW + timedelta(days=later),
    )
    return server_serial(directory)


def test_the_second_start_finds_the_authority_of_the_first(
    directory: Path, authority: Authority
) -> None:
    assert load_or_create_authority(directory, now=NOW).root == authority.root


def test_keys_are_the_owners_alone(directory: Path, authority: Authority) -> None:
    ensure(directory, authority)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in directory.glob("*.key")}
    assert modes == dict.fromkeys(["root.key", "intermediate.key", "server.key"], 0o600)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700


@pytest.mark.parametrize("name", ["root.key", "intermediate.key"])
def test_a_key_that_others_can_read_is_refused(
    directory: Path, authority: Authority, name: str
) -> None:
    (directory / name).chmod(0o644)
    with pytest.raises(UnsafePermissions) as caught:
        load_or_create_authority(directory, now=NOW)
    assert caught.value.path == directory / name


@pytest.mark.parametrize("name", ["root.pem", "root.key", "intermediate.pem", "intermediate.key"])
def test_a_missing_or_broken_file_is_named_and_nothing_is_made_anew(
    directory: Path, authority: Authority, name: str
) -> None:
    path = directory / name
    path.write_text("nonsense")
    with pytest.raises(BadAuthority) as broken:
        load_or_create_authority(directory, now=NOW)
    assert broken.value.path == path
    path.unlink()
    if name == "root.key":  # it may be kept elsewhere
        load_or_create_authority(directory, now=NOW)
        return
    with pytest.raises(BadAuthority) as missing:
        load_or_create_authority(directory, now=NOW)
    assert missing.value.path == path
    assert not path.exists()


def test_files_of_two_authorities_do_not_mix(
    tmp_path: Path, directory: Path, authority: Authority
) -> None:
    other = tmp_path / "other"
    load_or_create_authority(other, now=NOW)
    shutil.copy(other / "intermediate.key", directory / "intermediate.key")
    with pytest.raises(BadAuthority):
        load_or_create_authority(directory, now=NOW)
    shutil.copy(other / "intermediate.pem", directory / "intermediate.pem")
    with pytest.raises(BadAuthority, match="has not signed"):
        load_or_create_authority(directory, now=NOW)


def test_a_first_start_that_was_cut_short_is_begun_again(tmp_path: Path) -> None:
    partial = tmp_path / "ca.new"
    partial.mkdir()
    (partial / "root.key").write_text("half")
    load_or_create_authority(tmp_path / "ca", now=NOW)
    assert not partial.exists()


def test_wherever_the_first_start_dies_the_second_one_succeeds(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.certs.cut_short", str(tmp_path)]
    subprocess.run(command, check=True, timeout=50)
    states = list(tmp_path.iterdir())
    assert len(states) > 15
    for data in states:
        found = {path.name for path in (data / "ca").glob("*")}
        assert (
            not found or {"root.pem", "root.key", "intermediate.pem", "intermediate.key"} <= found
        )
        start(data)
        files = (data / "ca" / "server.pem", data / "ca" / "server.key")
        server_context(*files)  # would refuse a key that is not the certificate's
        assert not list(data.rglob("*.new"))


def test_a_server_certificate_stays_until_it_will_not_do(
    directory: Path, authority: Authority
) -> None:
    first = ensure(directory, authority)
    assert ensure(directory, authority) == first
    assert ensure(directory, authority, later=200) == first
    renamed = ensure(directory, authority, "localhost", "sync.example")
    assert renamed != first
    old = ensure(directory, authority, "localhost", "sync.example", later=300)
    assert old != renamed
    (directory / "server.key").unlink()
    assert ensure(directory, authority, "localhost", "sync.example", later=300) != old


def test_a_server_certificate_of_another_authority_is_replaced(
    tmp_path: Path, directory: Path, authority: Authority
) -> None:
    first = ensure(directory, authority)
    other = load_or_create_authority(tmp_path / "other", now=NOW)
    second = ensure(directory, other)
    assert second != first
    assert ensure(directory, other) == second


def test_a_file_is_replaced_only_where_it_differs_or_others_can_read_it(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    update_file(file, b"a = 1\n")
    first = file.stat()
    update_file(file, b"a = 1\n")
    assert file.stat().st_ino == first.st_ino
    update_file(file, b"a = 2\n")
    assert file.read_bytes() == b"a = 2\n"
    file.chmod(0o644)
    update_file(file, b"a = 2\n")
    assert file.stat().st_mode & 0o777 == 0o600
