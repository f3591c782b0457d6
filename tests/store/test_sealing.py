"""What must not be readable where it is kept is not."""

import base64
import sqlite3
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.core.batch import BatchSpec
from cloud.core.secret import Secret
from cloud.errors import Unavailable
from cloud.store.key_encryption import KEY_BYTES
from cloud.store.sealing import Sealer, load_or_create_key, load_or_create_sealer
from cloud.store.transaction import Transaction
from tests.builders import open_store
from tests.store.conftest import batch, node, registry, secret

KEY = bytes(range(KEY_BYTES))
PLAIN = "s3cr3t-that-must-not-be-there"


# the sealer


@given(plain=st.binary(max_size=100), place=st.lists(st.text(max_size=5), max_size=3))
def test_what_was_sealed_is_unsealed_in_its_place(plain: bytes, place: list[str]) -> None:
    sealer = Sealer(KEY)
    assert sealer.unseal(sealer.seal(plain, *place), *place) == plain


@given(
    places=st.lists(
        st.lists(st.text(max_size=3), max_size=3), min_size=2, max_size=2, unique_by=tuple
    )
)
def test_what_was_sealed_cannot_be_moved(places: list[list[str]]) -> None:
    sealer = Sealer(KEY)
    text = sealer.seal(b"x", *places[0])
    with pytest.raises(Unavailable):
        sealer.unseal(text, *places[1])


def test_the_same_is_sealed_differently_each_time() -> None:
    sealer = Sealer(KEY)
    assert len({sealer.seal(b"x", "a") for _ in range(100)}) == 100


def test_another_key_unseals_nothing_and_raises() -> None:
    text = Sealer(KEY).seal(b"x", "secret", "default", "n")
    with pytest.raises(Unavailable) as caught:
        Sealer(KEY[::-1]).unseal(text, "secret", "default", "n")
    assert "another key" in caught.value.reason


@given(place=st.integers(0, 200), bit=st.integers(0, 7))
def test_no_changed_bit_passes(place: int, bit: int) -> None:
    sealer = Sealer(KEY)
    head, _, body = sealer.seal(b"some text", "a").rpartition(":")
    raw = bytearray(base64.b64decode(body))
    raw[place % len(raw)] ^= 1 << bit
    with pytest.raises(Unavailable):
        sealer.unseal(f"{head}:{base64.b64encode(raw).decode()}", "a")


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "",
        lambda text: "open",
        lambda text: text.replace("sealed:1", "sealed:2"),
        lambda text: text[:-1],
        lambda text: text + "!",
        lambda text: text.rpartition(":")[0] + ":",
        lambda text: text.rpartition(":")[0] + ":AAAA",
    ],
)
def test_what_is_not_sealed_text_is_refused(change: Callable[[str], str]) -> None:
    sealer = Sealer(KEY)
    with pytest.raises(Unavailable):
        sealer.unseal(change(sealer.seal(b"x", "a")), "a")


def test_the_key_does_not_show() -> None:
    sealer = Sealer(KEY)
    for shown in (repr(sealer), sealer.seal(b"x", "a")):
        assert KEY.hex()[:8] not in shown
        assert base64.b64encode(KEY).decode()[:8] not in shown


def test_a_key_has_256_bits() -> None:
    with pytest.raises(Unavailable):
        Sealer(KEY[:16])


# the key file


def test_a_key_is_made_once_and_only_for_the_owner(tmp_path: Path) -> None:
    path = tmp_path / "secrets.key"
    key = load_or_create_key(path)
    assert len(key) == KEY_BYTES
    assert load_or_create_key(path) == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]
    assert load_or_create_key(tmp_path / "another.key") != key


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644])
def test_a_key_that_others_can_use_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "secrets.key"
    load_or_create_key(path)
    path.chmod(mode)
    with pytest.raises(Unavailable) as caught:
        load_or_create_key(path)
    assert str(path) in caught.value.reason


@pytest.mark.parametrize("content", [b"", b"no key", b"AAAA", base64.b64encode(KEY + b"x")])
def test_a_file_without_a_key_is_refused_and_stays(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "secrets.key"
    path.touch(0o600)
    path.write_bytes(content)
    with pytest.raises(Unavailable):
        load_or_create_key(path)
    assert path.read_bytes() == content


def test_all_who_make_the_key_at_once_get_the_same(tmp_path: Path) -> None:
    path = tmp_path / "secrets.key"
    with ThreadPoolExecutor(8) as threads:
        keys = set(threads.map(lambda _: load_or_create_key(path), range(40)))
    assert len(keys) == 1
    assert list(tmp_path.iterdir()) == [path]


# the database


def contents_of(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


async def test_no_file_of_the_database_holds_a_plain_secret(tmp_path: Path) -> None:
    def put_secrets(tx: Transaction) -> None:
        for number in range(50):
            tx.put_resource(secret(f"s{number}", PLAIN * 100))
            tx.put_resource(registry(f"r{number}", PLAIN))
            tx.put_batch(batch(f"b{number}", PLAIN))
        tx.put_node(node("in-the-open"))

    def refuse(tx: Transaction) -> None:
        put_secrets(tx)
        raise ValueError

    async with open_store(tmp_path) as store:
        await store.write(put_secrets)
        with pytest.raises(ValueError):  # noqa: PT011
            await store.write(refuse)
        await store.write(lambda tx: tx.delete_resource(Secret.kind, "default", "s1"))
        assert len(await store.read(lambda tx: tx.resources(Secret, "default"))) == 49
        files = contents_of(tmp_path)
    files["closed"] = contents_of(tmp_path)["edgesync.db"]
    assert b"in-the-open" in files["edgesync.db-wal"]
    assert b"in-the-open" in files["closed"]
    hidden = [PLAIN.encode(), base64.b64encode(PLAIN.encode())[:-4], PLAIN.encode().hex().encode()]
    for name, content in files.items():
        for plain in hidden:
            assert plain not in content, name


async def test_a_database_is_opened_with_its_own_key_alone(tmp_path: Path) -> None:
    async with open_store(tmp_path) as store:
        await store.write(lambda tx: tx.put_resource(secret()))
    key = tmp_path / "secrets.key"
    own = key.rename(tmp_path / "own.key")
    with pytest.raises(Unavailable) as caught:
        async with open_store(tmp_path):
            pass
    assert "key" in caught.value.reason
    own.rename(key)
    async with open_store(tmp_path) as store:
        assert await store.read(lambda tx: tx.secret("default", "password")) == secret()


async def test_a_sealed_secret_cannot_be_moved_to_another_name(tmp_path: Path) -> None:
    def put_two(tx: Transaction) -> None:
        tx.put_resource(secret("mine", "a"))
        tx.put_resource(secret("theirs", "b"))

    async with open_store(tmp_path) as store:
        await store.write(put_two)
    with closing(sqlite3.connect(tmp_path / "edgesync.db")) as db, db:
        db.execute(
            "UPDATE resource SET document = (SELECT document FROM resource WHERE name = 'theirs')"
            " WHERE name = 'mine'"
        )
    async with open_store(tmp_path) as store:
        with pytest.raises(Unavailable):
            await store.read(lambda tx: tx.secret("default", "mine"))
        assert await store.read(lambda tx: tx.secret("default", "theirs")) is not None


async def test_a_batch_without_a_token_is_sealed_too(tmp_path: Path) -> None:
    async with open_store(tmp_path) as store:
        await store.write(lambda tx: tx.put_batch(batch(key="")))
        kept = await store.read(lambda tx: tx.batch("default", "b"))
    assert kept is not None
    assert kept.spec == BatchSpec()
    with closing(sqlite3.connect(tmp_path / "edgesync.db")) as db:
        (document,) = db.execute("SELECT document FROM batch").fetchone()
    sealer = load_or_create_sealer(tmp_path / "secrets.key")
    assert b'"quotaNum":200' in sealer.unseal(document, "batch", "default", "b")
