"""An encrypted file of parts is opened whole, or not at all."""

import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloud.errors import Unavailable
from cloud.store.archive import ArchivePart, open_archive, write_archive
from tests.recipients import new_recipient
from tests.store.conftest import unavailable

PARTS = [("a", b""), ("files/b", b"secret" * 1000), ("c", os.urandom(300_000))]
RECIPIENT = new_recipient()


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("archive") / "backup"
    write_archive(path, iter(PARTS), RECIPIENT.encrypt)
    return path


def parts_of(path: Path) -> list[ArchivePart]:
    with open_archive(path, RECIPIENT.decrypt) as parts:
        return list(parts)


def test_what_was_written_is_read(archive: Path) -> None:
    assert parts_of(archive) == PARTS


def test_it_is_a_tar_file_of_two_things_that_age_knows_for_its_owner_alone(archive: Path) -> None:
    assert archive.stat().st_mode & 0o077 == 0
    with tarfile.open(archive, "r:") as tar:
        assert tar.getnames() == ["key.age", "content.tar.gz.age"]
        for member in tar:
            content = tar.extractfile(member)
            assert content is not None
            assert content.read(22) == b"age-encryption.org/v1\n"


@pytest.mark.parametrize("place", [-2000, -200_000])
def test_one_changed_bit_is_noticed(archive: Path, tmp_path: Path, place: int) -> None:
    content = bytearray(archive.read_bytes())
    content[place] ^= 1
    changed = tmp_path / "changed"
    changed.write_bytes(content)
    with unavailable("changed or is not whole"):
        parts_of(changed)


def outside(archive: Path) -> list[int]:
    """Places of all bytes that are not encrypted: of headers and padding."""
    with tarfile.open(archive, "r:") as tar:
        parts = [range(one.offset_data, one.offset_data + one.size) for one in tar]
    size = archive.stat().st_size
    return [place for place in range(size) if not any(place in part for part in parts)]


def test_each_byte_around_what_is_encrypted_counts(archive: Path, tmp_path: Path) -> None:
    content = archive.read_bytes()
    places = outside(archive)
    assert len(places) > 2 * tarfile.BLOCKSIZE
    changed = tmp_path / "changed"
    changed.write_bytes(content)
    with changed.open("r+b", buffering=0) as file:
        for place in places:
            os.pwrite(file.fileno(), bytes([content[place] ^ 1]), place)
            with pytest.raises(Unavailable):
                parts_of(changed)
            os.pwrite(file.fileno(), content[place : place + 1], place)
    assert parts_of(changed) == PARTS


@pytest.mark.parametrize("more", [b"\0", b"x", bytes(tarfile.BLOCKSIZE), b"x" * 20_000])
def test_what_is_appended_is_noticed(archive: Path, tmp_path: Path, more: bytes) -> None:
    longer = tmp_path / "longer"
    longer.write_bytes(archive.read_bytes() + more)
    with unavailable("cannot be read"):
        parts_of(longer)


def test_a_cut_is_noticed(archive: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut"
    cut.write_bytes(archive.read_bytes()[:-1])
    with unavailable("cannot be read"):
        parts_of(cut)


def test_a_cut_with_a_header_to_fit_is_noticed(archive: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut"
    with tarfile.open(archive, "r:") as tar, cut.open("wb") as file:
        for name in tar.getnames():
            member = tar.extractfile(name)
            assert member is not None
            content = member.read()
            if name == "content.tar.gz.age":
                # Where an encrypted chunk ends, so that nothing but the end is missing.
                content = content[: -(len(content) % 512) - 100_352]
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o600
            file.write(info.tobuf(tarfile.USTAR_FORMAT) + content + bytes(-len(content) % 512))
        file.write(bytes(1024))
    with unavailable("changed or is not whole"):
        parts_of(cut)


@pytest.mark.parametrize("content", [b"", b"hello", bytes(4096)])
def test_something_else_is_refused(tmp_path: Path, content: bytes) -> None:
    other = tmp_path / "other"
    other.write_bytes(content)
    with unavailable("cannot be read"):
        parts_of(other)


def test_parts_that_fail_leave_nothing_behind_and_what_was_there_stays(tmp_path: Path) -> None:
    def failing() -> Iterator[ArchivePart]:
        yield "a", b"content"
        raise Unavailable("the disk is gone")

    (tmp_path / "backup").write_text("the one before")
    with unavailable("the disk is gone"):
        write_archive(tmp_path / "backup", failing(), RECIPIENT.encrypt)
    assert [path.name for path in tmp_path.iterdir()] == ["backup"]
    assert (tmp_path / "backup").read_text() == "the one before"


def test_who_stops_reading_leaves_no_thread_behind(archive: Path) -> None:
    with open_archive(archive, RECIPIENT.decrypt) as parts:
        assert next(parts) == PARTS[0]
        parts.close()  # type: ignore[attr-defined]
