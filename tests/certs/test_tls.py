"""Handshakes, in memory: who is let in and who is not."""

import contextlib
import ssl
import subprocess
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from certs.authority import Authority, IssuedCertificate
from certs.files import ensure_server_certificate, load_or_create_authority
from certs.keys import key_pem, new_private_key
from certs.tls import (
    client_context,
    node_listener_context,
    open_listener_context,
    server_context,
)
from tests.certs.conftest import NOW


@pytest.fixture
def listener(directory: Path, authority: Authority) -> ssl.SSLContext:
    files = ensure_server_certificate(directory, authority, ["localhost"], [], now=NOW)
    return node_listener_context(files.certificate_file, files.key_file, authority.trusted_pem)


def node(
    tmp_path: Path, authority: Authority, *, now: datetime = NOW, chain: bool = False
) -> tuple[Path, Path]:
    key = new_private_key()
    issued = authority.issue_node(key.public_key(), "default.n1", now=now, serial=77)
    return save(tmp_path, issued, key_pem(key), chain=chain)


def save(
    tmp_path: Path, issued: IssuedCertificate, key: bytes, *, chain: bool = False
) -> tuple[Path, Path]:
    certificate_file, key_file = tmp_path / "leaf.pem", tmp_path / "leaf.key"
    certificate_file.write_text(issued.chain_pem if chain else issued.certificate_pem)
    key_file.write_bytes(key)
    return certificate_file, key_file


def handshake(server: ssl.SSLContext, client: ssl.SSLContext) -> ssl.SSLObject:
    """Server's side of a finished handshake; ssl.SSLError from whichever side refuses."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    left = client.wrap_bio(to_client, to_server, server_hostname="localhost")
    right = server.wrap_bio(to_server, to_client, server_side=True)
    todo = [left, right]
    for _ in range(10):
        for side in list(todo):
            try:
                side.do_handshake()
                todo.remove(side)
            except ssl.SSLWantReadError:
                pass
        if not todo:
            return right
    raise AssertionError("the handshake does not end")


@pytest.mark.parametrize("chain", [False, True])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_node_is_let_in_with_its_own_certificate_alone_or_with_the_chain(
    tmp_path: Path,
    authority: Authority,
    listener: ssl.SSLContext,
    version: ssl.TLSVersion,
    *,
    chain: bool,
) -> None:
    client = client_context(authority.root_pem, *node(tmp_path, authority, chain=chain))
    client.maximum_version = version
    done = handshake(listener, client)
    peer = done.getpeercert()
    assert peer is not None
    assert (("commonName", "default.n1"),) in peer["subject"]
    assert done.version() == version.name.replace("_", ".")


def test_a_client_without_a_certificate_is_refused(
    authority: Authority, listener: ssl.SSLContext
) -> None:
    with pytest.raises(ssl.SSLError):
        handshake(listener, client_context(authority.root_pem))


def test_the_right_name_from_a_foreign_authority_is_refused(
    tmp_path: Path, authority: Authority, listener: ssl.SSLContext
) -> None:
    foreign = load_or_create_authority(tmp_path / "foreign", now=NOW)
    client = client_context(authority.root_pem, *node(tmp_path, foreign))
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(listener, client)


@pytest.mark.parametrize("days", [-100, 2])
def test_an_expired_certificate_and_one_not_valid_yet_are_refused(
    tmp_path: Path, authority: Authority, listener: ssl.SSLContext, days: int
) -> None:
    files = node(tmp_path, authority, now=NOW + timedelta(days=days))
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(listener, client_context(authority.root_pem, *files))


def test_a_server_certificate_is_no_node(
    tmp_path: Path, authority: Authority, listener: ssl.SSLContext
) -> None:
    key = new_private_key()
    issued = authority.issue_server(key.public_key(), ["localhost"], [], now=NOW, serial=5)
    client = client_context(authority.root_pem, *save(tmp_path, issued, key_pem(key)))
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(listener, client)


def test_a_node_cannot_pose_as_the_server(tmp_path: Path, authority: Authority) -> None:
    server = server_context(*node(tmp_path, authority, chain=True))
    client = client_context(authority.root_pem)
    client.check_hostname = False
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(server, client)


def test_tls_1_1_is_refused(tmp_path: Path, authority: Authority, listener: ssl.SSLContext) -> None:
    client = client_context(authority.root_pem, *node(tmp_path, authority))
    client.set_ciphers("DEFAULT:@SECLEVEL=0")  # or the client would not even offer it
    with pytest.warns(DeprecationWarning, match=r"TLSv1_1 is deprecated"):
        client.minimum_version = client.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError) as caught:
        handshake(listener, client)
    assert caught.value.reason == "UNSUPPORTED_PROTOCOL"


def test_openssl_builds_the_same_path(tmp_path: Path, authority: Authority) -> None:
    leaf, _ = node(tmp_path, authority)
    root, intermediate = tmp_path / "root.pem", tmp_path / "ca" / "intermediate.pem"
    root.write_text(authority.root_pem)
    command = ["openssl", "verify", "-x509_strict", "-purpose", "sslclient"]
    command += ["-CAfile", str(root), "-untrusted", str(intermediate), str(leaf)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("make", [node_listener_context, open_listener_context])
def test_nodes_get_no_session_tickets(
    tmp_path: Path,
    directory: Path,
    authority: Authority,
    make: Callable[[Path, Path, str], ssl.SSLContext],
    version: ssl.TLSVersion,
) -> None:
    files = ensure_server_certificate(directory, authority, ["localhost"], [], now=NOW)
    server = make(files.certificate_file, files.key_file, authority.trusted_pem)
    client = client_context(authority.root_pem, *node(tmp_path, authority))
    client.minimum_version = client.maximum_version = version
    session, _ = resumable(server, client)
    assert session is None or not session.has_ticket
    # With TLS 1.2 the server remembers a session by its id; see docs/security.md.
    _, was_resumed = resumable(server, client, session)
    assert was_resumed == (version is ssl.TLSVersion.TLSv1_2)


def resumable(
    server: ssl.SSLContext, client: ssl.SSLContext, session: ssl.SSLSession | None = None
) -> tuple[ssl.SSLSession | None, bool]:
    """What the client could come back with, and whether it came back with *session*."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    left = client.wrap_bio(to_client, to_server, server_hostname="localhost", session=session)
    right = server.wrap_bio(to_server, to_client, server_side=True)
    for step in (left.do_handshake, right.do_handshake) * 3:
        with contextlib.suppress(ssl.SSLWantReadError):
            step()
    right.write(b"x")  # what a server may send after the handshake comes before it
    assert left.read(1) == b"x"
    for step in (left.unwrap, right.unwrap, left.unwrap):  # a broken connection is not remembered
        with contextlib.suppress(ssl.SSLWantReadError):
            step()
    found = left.session
    return (found if found and found.id else None), bool(left.session_reused)
