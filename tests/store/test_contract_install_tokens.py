"""What every store promises of tokens that bring in a machine."""

from datetime import datetime, timedelta

import pytest

from cloud.core.installation import InstallToken, TargetKind
from cloud.store.transaction import Store, Transaction
from tests.store.conftest import LATER, NOW

SOON = NOW + timedelta(microseconds=1)


def token(
    digest: str = "d1",
    kind: TargetKind = TargetKind.NODE,
    name: str = "n",
    namespace: str = "default",
) -> InstallToken:
    return InstallToken(digest, namespace, kind, name, NOW, LATER)


async def put(store: Store, *tokens: InstallToken) -> None:
    def work(tx: Transaction) -> None:
        for one in tokens:
            tx.put_install_token(one)

    await store.write(work)


async def test_a_token_is_got_by_its_digest_and_deleted_once(store: Store) -> None:
    await put(store, token())
    assert await store.read(lambda tx: tx.install_token("d1")) == token()
    assert await store.read(lambda tx: tx.install_token("d2")) is None
    assert await store.write(lambda tx: tx.delete_install_token("d1"))
    assert not await store.write(lambda tx: tx.delete_install_token("d1"))
    assert await store.read(lambda tx: tx.install_token("d1")) is None


async def test_tokens_are_listed_for_one_target_oldest_first(store: Store) -> None:
    older = InstallToken("z", "default", TargetKind.NODE, "n", NOW - timedelta(1), LATER)
    others = (
        token("o1", kind=TargetKind.BATCH),
        token("o2", name="m"),
        token("o3", namespace="other"),
    )
    await put(store, token("b"), token("a"), older, *others)

    def listed(tx: Transaction) -> list[str]:
        return [one.digest for one in tx.install_tokens("default", TargetKind.NODE, "n")]

    assert await store.read(listed) == ["z", "a", "b"]
    forget = TargetKind.NODE, "n"
    assert await store.write(lambda tx: tx.delete_install_tokens("default", *forget)) == 3
    assert await store.read(listed) == []
    kept = await store.read(lambda tx: [tx.install_token(other.digest) for other in others])
    assert kept == list(others)


@pytest.mark.parametrize(("now", "gone"), [(NOW, 0), (LATER, 2), (LATER + timedelta(1), 2)])
async def test_what_has_expired_is_forgotten(store: Store, now: datetime, gone: int) -> None:
    await put(store, token("a"), token("b", kind=TargetKind.BATCH))
    assert await store.write(lambda tx: tx.delete_expired_install_tokens(now)) == gone
