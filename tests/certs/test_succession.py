"""One intermediate follows another; whatever happens in between, nodes of both come in."""

import os
import ssl
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from certs.authority import Authority, new_signer
from certs.changes import locked
from certs.errors import BadAuthority, BadPassphrase, UnsafePermissions
from certs.files import ensure_server_certificate, load_authority, load_or_create_authority
from certs.keys import key_pem, new_private_key
from certs.pem_files import read_key
from certs.revocation import Revoked
from certs.succession import drop, encrypt, import_intermediate, request_intermediate, rotate
from certs.tls import client_context, node_listener_context
from tests.certs.conftest import NOW
from tests.certs.cut_short import DIED, STEPS
from tests.certs.test_tls import handshake

SERIAL = 2**140
PASSPHRASE = b"correct horse battery staple"


class RotatedNode:
    """A device that was certified by *authority* and trusts its root alone."""

    def __init__(self, folder: Path, authority: Authority, serial: int = 7) -> None:
        key = new_private_key()
        issued = authority.issue_node(key.public_key(), "default.n1", now=NOW, serial=serial)
        self.files = (folder / f"{serial}.pem", folder / f"{serial}.key")
        self.files[0].write_text(issued.certificate_pem)
        self.files[1].write_bytes(key_pem(key))
        self.context = client_context(authority.root_pem, *self.files)


def listener(directory: Path, authority: Authority) -> ssl.SSLContext:
    files = ensure_server_certificate(directory, authority, ["localhost"], [], now=NOW)
    return node_listener_context(files.certificate_file, files.key_file, authority.trusted_pem)


def test_nodes_of_before_and_after_come_in_and_the_server_shows_its_new_certificate(
    tmp_path: Path, directory: Path, authority: Authority
) -> None:
    before = RotatedNode(tmp_path, authority, 7)
    listener(directory, authority)
    assert rotate(directory, now=NOW, serial=SERIAL).intermediate.serial_number == SERIAL
    after = load_authority(directory)
    assert after.root == authority.root
    assert after.intermediate.serial_number == SERIAL
    assert [one.certificate for one in after.retired] == [authority.intermediate]
    tls = listener(directory, after)
    for node in (before, RotatedNode(tmp_path, after, 8)):
        assert handshake(tls, node.context).getpeercert() is not None
    server = x509.load_pem_x509_certificates((directory / "server.pem").read_bytes())
    assert server[1] == after.intermediate


def test_each_intermediate_lists_what_was_revoked_until_it_ends(
    tmp_path: Path, directory: Path, authority: Authority
) -> None:
    old = [RotatedNode(tmp_path, authority, 7), RotatedNode(tmp_path, authority, 17)]
    after = rotate(directory, now=NOW, serial=SERIAL)
    new = [RotatedNode(tmp_path, after, 8), RotatedNode(tmp_path, after, 18)]
    entries = [Revoked(7, NOW), Revoked(8, NOW)]
    lists = after.revocation_lists(entries, number=1, issued=NOW - timedelta(hours=1), now=NOW)
    crl, trusted = tmp_path / "crl.pem", tmp_path / "trusted.pem"
    crl.write_bytes(b"".join(one.public_bytes(Encoding.PEM) for one in lists))
    trusted.write_text(after.trusted_pem)
    for node, is_good in zip((*old, *new), (False, True, False, True), strict=True):
        command = ["openssl", "verify", "-x509_strict", "-crl_check", "-CAfile", str(trusted)]
        command += ["-CRLfile", str(crl), str(node.files[0])]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert (done.returncode == 0) is is_good, done.stderr
    late = authority.intermediate.not_valid_after_utc
    later = rotate(directory, now=NOW + timedelta(days=365), serial=SERIAL + 1)
    assert len(later.revocation_lists([], number=2, issued=late, now=late)) == 2


def test_a_dropped_intermediate_and_its_nodes_are_trusted_no_longer(
    tmp_path: Path, directory: Path, authority: Authority
) -> None:
    node = RotatedNode(tmp_path, authority)
    rotate(directory, now=NOW, serial=SERIAL)
    with pytest.raises(BadAuthority):
        drop(directory, SERIAL)
    drop(directory, authority.intermediate.serial_number)
    after = load_authority(directory)
    assert after.retired == ()
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(listener(directory, after), node.context)


def test_the_roots_key_may_be_away_but_not_for_a_rotation(
    tmp_path: Path, directory: Path, authority: Authority
) -> None:
    elsewhere = tmp_path / "root.key"
    (directory / "root.key").rename(elsewhere)
    assert load_authority(directory).root == authority.root
    with pytest.raises(BadAuthority) as caught:
        rotate(directory, now=NOW, serial=SERIAL)
    assert caught.value.path == directory / "root.key"
    rotate(directory, now=NOW, serial=SERIAL, root_key=elsewhere)
    assert load_authority(directory).intermediate.serial_number == SERIAL
    assert not (directory / "root.key").exists()


def test_a_requested_intermediate_is_signed_elsewhere_and_brought_back(
    tmp_path: Path, directory: Path, authority: Authority
) -> None:
    (directory / "root.key").rename(tmp_path / "root.key")
    request = request_intermediate(directory, serial=SERIAL)
    (tmp_path / "request.pem").write_bytes(request.public_bytes(Encoding.PEM))
    (tmp_path / "extensions").write_text(
        "basicConstraints=critical,CA:true,pathlen:0\n"
        "keyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n"
        "authorityKeyIdentifier=keyid\n"
    )
    command = ["openssl", "x509", "-req", "-in", "request.pem", "-days", "3650", "-out", "new.pem"]
    command += ["-CA", str(directory / "root.pem"), "-CAkey", "root.key", "-extfile", "extensions"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=60)
    new = tmp_path / "new.pem"
    later = datetime.now(UTC) + timedelta(minutes=1)  # openssl begins it at its own time
    import_intermediate(directory, new, now=later)
    after = load_authority(directory)
    assert after.intermediate.subject == request.subject
    assert [one.certificate for one in after.retired] == [authority.intermediate]
    assert not (directory / "request" / "intermediate.key").exists()
    with pytest.raises(BadAuthority):
        import_intermediate(directory, new, now=later)


def test_an_authority_of_the_operators_own_needs_no_key_of_its_root(tmp_path: Path) -> None:
    own, root_key = Authority.create("theirs", now=NOW, serials=(1, 2))
    (tmp_path / "root.pem").write_text(own.root_pem)
    (tmp_path / "int.pem").write_bytes(own.intermediate.public_bytes(Encoding.PEM))
    (tmp_path / "int.key").touch(mode=0o600)
    (tmp_path / "int.key").write_bytes(key_pem(own.key))
    directory = tmp_path / "ca"
    given = (directory, tmp_path / "int.pem")
    key, root = tmp_path / "int.key", tmp_path / "root.pem"
    with pytest.raises(BadAuthority):
        import_intermediate(*given, now=NOW, key_file=key)
    import_intermediate(*given, now=NOW, key_file=key, root_file=root)
    found = load_or_create_authority(directory, now=NOW)
    assert (found.root, found.intermediate) == (own.root, own.intermediate)
    assert not (directory / "root.key").exists()
    other, _ = Authority.create("another", now=NOW, serials=(3, 4))
    root.write_text(other.root_pem)
    next_one = new_signer(own.root, root_key, "next", now=NOW, serial=5)
    (tmp_path / "int.pem").write_bytes(next_one.certificate.public_bytes(Encoding.PEM))
    key.write_bytes(key_pem(next_one.key))
    with pytest.raises(BadAuthority, match="another root"):
        import_intermediate(*given, now=NOW, key_file=key, root_file=root)
    import_intermediate(*given, now=NOW, key_file=key)
    assert load_authority(directory).intermediate == next_one.certificate


@pytest.mark.slow  # a passphrase costs time by design
def test_keys_are_under_a_passphrase_and_nothing_goes_without_it(directory: Path) -> None:
    load_or_create_authority(directory, now=NOW, passphrase=PASSPHRASE)
    rotate(directory, now=NOW, serial=SERIAL, passphrase=PASSPHRASE)
    keys = [*directory.rglob("*.key")]
    assert len(keys) == 3
    assert all(b"ENCRYPTED" in key.read_bytes() for key in keys)
    for wrong in (None, PASSPHRASE + b"r"):
        with pytest.raises(BadPassphrase):
            load_or_create_authority(directory, now=NOW, passphrase=wrong)
    assert encrypt(directory, old=PASSPHRASE, new=None) == 3
    with pytest.raises(BadPassphrase, match="is not encrypted"):
        load_authority(directory, passphrase=PASSPHRASE)


def test_only_one_program_changes_an_authority_at_a_time(
    directory: Path, authority: Authority
) -> None:
    with locked(directory), pytest.raises(BadAuthority, match="another program"):
        rotate(directory, now=NOW, serial=SERIAL)
    rotate(directory, now=NOW, serial=SERIAL)


def test_a_key_that_others_may_read_is_not_taken(tmp_path: Path, authority: Authority) -> None:
    file = tmp_path / "open.key"
    file.write_bytes(key_pem(authority.key))
    file.chmod(0o640)
    with pytest.raises(UnsafePermissions):
        read_key(file, authority.intermediate)


def test_a_change_that_is_cut_short_is_done_or_undone_at_the_next_start(tmp_path: Path) -> None:
    """Each attempt is ended by the system one step later than the last."""
    seen = []
    for steps in range(1000):
        directory = tmp_path / str(steps) / "ca"
        born = load_or_create_authority(directory, now=NOW)
        if cut_short(directory, steps) != DIED:
            break
        found = load_authority(directory)
        is_rotated = found.intermediate != born.intermediate
        assert [one.certificate for one in found.retired] == [born.intermediate] * is_rotated
        assert not (directory / "next").exists()
        seen.append(is_rotated)
    assert seen == sorted(seen), "not there, and from some step on there"
    assert len(seen) > 10
    assert set(seen) == {False, True}


def cut_short(directory: Path, steps: int) -> int:
    child = os.fork()
    if child == 0:
        done = 0

        def count(event: str, arguments: tuple[object, ...]) -> None:
            nonlocal done
            if event in STEPS and str(directory) in str(arguments[0]):
                done += 1
                if done > steps:
                    os._exit(DIED)

        sys.addaudithook(count)
        try:
            rotate(directory, now=NOW, serial=SERIAL)
        except BaseException:  # noqa: BLE001  # pytest is not to go on twice
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
