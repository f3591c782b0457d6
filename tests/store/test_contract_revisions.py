"""What every store promises of revisions."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from cloud.core.app import AppSpec
from cloud.core.audit import Actor, ActorKind
from cloud.core.config import ConfigItem, ConfigSpec, KeyValue
from cloud.core.registry import RegistrySpec
from cloud.core.revisions import (
    Revision,
    RevisionAction,
    Spec,
    StoredRevision,
    Thing,
)
from cloud.core.secret import SecretSpec
from cloud.store.transaction import Store, Transaction
from tests.conftest import StoreFactory
from tests.store.conftest import NOW

FAR = 2**62
ACTOR = Actor(ActorKind.TOKEN, "ci", "default")
SPECS: dict[str, Spec] = {
    "app": AppSpec(selector="role=gateway"),
    "config": ConfigSpec(data=(ConfigItem("a", KeyValue("open sesame")),)),
    "secret": SecretSpec({"a": "open sesame"}),
    "registry": RegistrySpec("a", "b", "open sesame"),
}


def thing(name: str = "x", kind: str = "config", where: str = "default") -> Thing:
    return Thing(kind, where, name)


def revision(number: int, action: RevisionAction = RevisionAction.UPDATE) -> Revision:
    return Revision(number, f"{number}0", NOW, ACTOR, "why\u00e4", action)


def put(tx: Transaction, of: Thing, *revisions: Revision) -> None:
    for one in revisions:
        is_gone = one.action is RevisionAction.DELETE
        tx.put_revision(of, one, None if is_gone else SPECS[of.kind])


def bytes_in(directory: Path) -> bytes:
    return b"".join(file.read_bytes() for file in directory.glob("edgesync.db*"))


def numbers(tx: Transaction, of: Thing) -> list[int]:
    return [one.number for one in tx.revisions(of, below=FAR, limit=100)]


async def test_a_revision_is_got_as_it_was_put(store: Store) -> None:
    def work(tx: Transaction) -> None:
        for kind in SPECS:
            put(tx, thing(kind=kind), revision(1), revision(2, RevisionAction.DELETE))

    def look(tx: Transaction) -> None:
        for kind in SPECS:
            found = tx.revision(thing(kind=kind), 1)
            assert found == StoredRevision(revision(1), SPECS[kind])
            gone = tx.revision(thing(kind=kind), 2)
            assert gone == StoredRevision(revision(2, RevisionAction.DELETE), None)
            assert tx.revision(thing(kind=kind), 3) is None
            assert tx.revision(thing(kind=kind, where="other"), 1) is None

    await store.write(work)
    await store.read(look)


async def test_revisions_are_listed_newest_first_and_the_old_ones_forgotten(store: Store) -> None:
    def work(tx: Transaction) -> None:
        put(tx, thing(), *map(revision, range(1, 6)))
        put(tx, thing("other"), revision(1))
        assert [one.number for one in tx.revisions(thing(), below=4, limit=2)] == [3, 2]
        assert tx.revisions(thing(), below=FAR, limit=1) == [revision(5)]
        tx.delete_old_revisions(thing(), 3)
        assert (numbers(tx, thing()), numbers(tx, thing("other"))) == ([5, 4], [1])
        assert (tx.count_revisions(thing()), tx.count_revisions(thing("none"))) == (2, 0)

    await store.write(work)


async def test_of_what_was_deleted_the_last_are_kept_whole(store: Store) -> None:
    def work(tx: Transaction) -> None:
        for day, name in enumerate(("first", "second", "third", "back", "there")):
            put(tx, thing(name), revision(1))
            gone = replace(revision(2, RevisionAction.DELETE), time=NOW + timedelta(day))
            if name != "there":
                put(tx, thing(name), gone)
        put(tx, thing("back"), revision(3))
        for other in (thing("first", "app"), thing("first", where="other")):
            put(tx, other, revision(1, RevisionAction.DELETE))
        tx.forget_deleted("config", "default", 2)
        assert numbers(tx, thing("first")) == []
        assert numbers(tx, thing("second")) == numbers(tx, thing("third")) == [2, 1]
        assert (numbers(tx, thing("back")), numbers(tx, thing("there"))) == ([3, 2, 1], [1])
        assert numbers(tx, thing("first", "app")) == [1]
        assert numbers(tx, thing("first", where="other")) == [1]

    await store.write(work)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_nothing_secret_of_a_revision_can_be_read_in_the_file(
    open_again: StoreFactory, tmp_path: Path
) -> None:
    def work(tx: Transaction) -> None:
        for kind in SPECS:
            put(tx, thing(kind=kind), revision(1))

    async with open_again(tmp_path) as store:
        await store.write(work)
    kept = bytes_in(tmp_path)
    assert b"role=gateway" in kept
    assert b"open sesame" not in kept
