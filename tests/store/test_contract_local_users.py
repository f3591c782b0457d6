"""Users that the server itself keeps, on each database."""

from dataclasses import replace
from functools import partial

from cloud.core.listing import ListOptions
from cloud.core.local_users import LocalUser
from cloud.store.transaction import Store, Transaction
from tests.store.conftest import LATER, NOW


def user(name: str = "ann", *, totp: str = "") -> LocalUser:
    grants = {"*": "viewer", "north": "admin"}
    return LocalUser(name, f"id-{name}", "$argon2id$", grants, NOW, LATER, totp=totp)


async def test_what_is_put_is_found_and_deleted(store: Store) -> None:
    ann, bob = user(totp="SECRET"), user("bob")

    await store.write(lambda tx: tx.put_local_user(ann))
    await store.write(lambda tx: tx.put_local_user(bob))
    assert await store.read(lambda tx: tx.local_user("ann")) == ann
    assert await store.read(lambda tx: tx.local_user("no-user")) is None
    changed = replace(ann, is_disabled=True, totp="")
    await store.write(lambda tx: tx.put_local_user(changed))
    page = await store.read(lambda tx: tx.list_local_users(ListOptions(limit=1)))
    assert (list(page.items), page.total) == ([changed], 2)
    assert await store.write(lambda tx: tx.delete_local_user(bob))
    assert not await store.write(lambda tx: tx.delete_local_user(bob))
    assert await store.read(lambda tx: tx.count_local_users()) == 1


async def test_a_step_is_used_once_and_none_before_it(store: Store) -> None:
    await store.write(lambda tx: tx.put_local_user(user(totp="SECRET")))
    for step, is_new in ((7, True), (7, False), (6, False), (8, True)):
        assert await store.write(partial(use, step)) is is_new


def use(step: int, tx: Transaction) -> bool:
    return tx.set_totp_step("ann", step)
