"""Which administrator's token is accepted, on each database."""

from pathlib import Path

from cloud.core.admin_access import INITIAL_ACCESS, AdminAccess
from cloud.store.transaction import Store
from tests.conftest import StoreFactory
from tests.store.conftest import LATER, NOW


async def test_the_last_change_counts(store: Store) -> None:
    assert await store.read(lambda tx: tx.admin_access()) == INITIAL_ACCESS
    await store.write(lambda tx: tx.put_admin_access("d1", is_enabled=False, now=NOW))
    known = await store.read_short(lambda tx: tx.admin_access())
    assert known == AdminAccess("d1", is_enabled=False, changed=NOW)
    await store.write(lambda tx: tx.put_admin_access("d2", is_enabled=True, now=LATER))
    known = await store.read_short(lambda tx: tx.admin_access())
    assert known == AdminAccess("d2", is_enabled=True, changed=LATER)


async def test_it_is_there_after_a_restart(open_again: StoreFactory, tmp_path: Path) -> None:
    async with open_again(tmp_path) as store:
        await store.write(lambda tx: tx.put_admin_access("d", is_enabled=False, now=NOW))
    async with open_again(tmp_path) as store:
        assert not (await store.read(lambda tx: tx.admin_access())).is_enabled
