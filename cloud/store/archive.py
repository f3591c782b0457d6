"""An encrypted file of named parts, as a stream: its content need not fit into memory.

It is made of standard things alone, so that it can be opened without this program: a tar file of
two members, `key.age` (a key of age, age-encryption.org/v1, encrypted as in `archive_key`) and
`content.tar.gz.age` (encrypted to that key). A byte that is changed, cut off or appended is
noticed.
"""

import contextlib
import io
import itertools
import os
import tarfile
import threading
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import pyrage

from cloud.errors import Unavailable
from cloud.store.archive_key import Decrypt, Encrypt

ArchivePart = tuple[str, bytes]
"""Name and content."""

_KEY = "key.age"
_CONTENT = "content.tar.gz.age"
_GZIP = 31
"""Window bits that stand for gzip in zlib."""
_KEY_LIMIT = 4096


def write_archive(path: Path, parts: Iterable[ArchivePart], encrypt: Encrypt) -> None:
    """Make the file *path* of *parts*, one or more, whole or not at all, for its owner alone.

    *encrypt* encrypts its key. What *parts* raises is raised. OSError where it cannot be written.
    """
    waiting = iter(parts)
    # What has no beginning shall not cost the making of a key.
    parts = itertools.chain([next(waiting)], waiting)
    partial = path.with_name(f"{path.name}.new")
    partial.unlink(missing_ok=True)
    number = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(number, "w+b") as file:
            _write(file, parts, encrypt)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def open_archive(path: Path, decrypt: Decrypt) -> Iterator[Iterator[ArchivePart]]:
    """The parts of the file *path*, in their order, one at a time.

    *decrypt* decrypts its key. Unavailable, from here or from the parts, if it is no such file, was
    changed or cut, or *decrypt* is not for it; after the last part the file is known to be whole.
    """
    try:
        with path.open("rb") as file:
            sealed, size = _frame(file)
            identity = pyrage.x25519.Identity.from_str(decrypt(sealed).decode())
            yield _parts(file, size, identity, path)
    except (OSError, tarfile.TarError) as error:
        raise Unavailable(f"{path} cannot be read: {error}") from error


def _write(file: BinaryIO, parts: Iterable[ArchivePart], encrypt: Encrypt) -> None:
    identity = pyrage.x25519.Identity.generate()
    key = encrypt(str(identity).encode())
    for block in _entry(_KEY, key):
        file.write(block)
    # How long the content is, is known once it is written.
    header = file.tell()
    file.write(bytes(tarfile.BLOCKSIZE))
    reader = _Reader(_compressed(_tar(parts)))
    try:
        pyrage.encrypt_io(reader, file, [identity.to_public()])
    except pyrage.EncryptError:
        if reader.error is not None:
            raise reader.error from None
        raise
    file.flush()
    size = file.seek(0, os.SEEK_END) - header - tarfile.BLOCKSIZE
    file.write(bytes(-size % tarfile.BLOCKSIZE + 2 * tarfile.BLOCKSIZE))
    file.seek(header)
    file.write(_header(_CONTENT, size))


def _header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o600
    return info.tobuf(tarfile.USTAR_FORMAT)


def _entry(name: str, content: bytes) -> Iterator[bytes]:
    yield _header(name, len(content))
    yield content
    yield bytes(-len(content) % tarfile.BLOCKSIZE)


def _tar(parts: Iterable[ArchivePart]) -> Iterator[bytes]:
    for name, content in parts:
        yield from _entry(name, content)
    yield bytes(2 * tarfile.BLOCKSIZE)


def _compressed(blocks: Iterable[bytes]) -> Iterator[bytes]:
    compressor = zlib.compressobj(wbits=_GZIP)
    for block in blocks:
        yield compressor.compress(block)
    yield compressor.flush()


class _Reader:
    """A file to read from, of the *blocks* that something gives."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._rest = b""
        # What the blocks raised; the library only passes its text on.
        self.error: BaseException | None = None

    def read(self, size: int = -1) -> bytes:
        try:
            while not self._rest:
                self._rest = next(self._blocks)
        except StopIteration:
            return b""
        except BaseException as error:
            self.error = error
            raise
        taken, self._rest = (
            (self._rest, b"") if size < 0 else (self._rest[:size], self._rest[size:])
        )
        return taken


def _frame(file: BinaryIO) -> tuple[bytes, int]:
    """The first member, and how many bytes the second one has, where *file* then stands.

    tarfile.TarError if any byte around the two is not as `write_archive` puts it.
    """
    size = _member(file, _KEY)
    if size > _KEY_LIMIT:
        raise tarfile.TarError(f"begins with no {_KEY}")
    sealed = file.read(size)
    if any(file.read(-size % tarfile.BLOCKSIZE)):
        raise tarfile.TarError(f"something stands behind {_KEY}")
    size = _member(file, _CONTENT)
    begin = file.tell()
    file.seek(begin + size)
    padding = -size % tarfile.BLOCKSIZE + 2 * tarfile.BLOCKSIZE
    if file.read(padding + 1) != bytes(padding):
        raise tarfile.TarError(f"does not end behind {_CONTENT}")
    file.seek(begin)
    return sealed, size


def _member(file: BinaryIO, name: str) -> int:
    """The size in the next header; tarfile.TarError if it is not that of *name*."""
    block = file.read(tarfile.BLOCKSIZE)
    found = tarfile.TarInfo.frombuf(block, "ascii", "strict")
    if block != _header(name, found.size):
        raise tarfile.TarError(f"has no {name} where it should be")
    return found.size


def _parts(
    file: BinaryIO, size: int, identity: pyrage.x25519.Identity, path: Path
) -> Iterator[ArchivePart]:
    """Decrypt *size* bytes in a thread and read what comes out of it."""
    source, sink = os.pipe()
    failed: list[Exception] = []

    def decrypt() -> None:
        # A reader that stops is met by the last write, which is that of closing.
        try:
            with os.fdopen(sink, "wb") as out:
                pyrage.decrypt_io(_Limited(file, size), out, [identity])
        except (pyrage.DecryptError, OSError) as error:
            failed.append(error)

    thread = threading.Thread(target=decrypt, name="decrypt", daemon=True)
    thread.start()
    try:
        with os.fdopen(source, "rb") as plain:
            try:
                with tarfile.open(fileobj=plain, mode="r|gz") as tar:
                    for member in tar:
                        content = tar.extractfile(member)
                        if content is not None:
                            yield member.name, content.read()
                while plain.read(io.DEFAULT_BUFFER_SIZE):
                    pass
            except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
                failed.append(error)
    finally:
        thread.join()
    if failed:
        raise Unavailable(f"{path} was changed or is not whole: {failed[0]}") from failed[0]


class _Limited:
    """The next *size* bytes of a file."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._left = size

    def read(self, size: int = -1) -> bytes:
        taken = self._file.read(self._left if size < 0 else min(size, self._left))
        self._left -= len(taken)
        return taken
