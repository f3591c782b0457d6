"""Logins of the command line that wait for a user, on each database."""

from dataclasses import replace
from datetime import timedelta

from cloud.core.device_logins import DeviceLogin
from cloud.store.transaction import Store, Transaction
from tests.store.conftest import LATER, NOW

ENDS = NOW + timedelta(minutes=10)


def login(name: str, site: str = "192.0.2.1") -> DeviceLogin:
    return DeviceLogin(name, f"CODE-{name}", "192.0.2.1", site, NOW, ENDS, NOW, LATER - NOW)


async def test_a_login_is_found_by_both_codes_until_it_is_deleted(store: Store) -> None:
    one = login("one")
    await store.write(lambda tx: tx.put_device_login(one))
    assert await store.read(lambda tx: tx.device_login("one")) == one
    approved = replace(one, session="s", polled=LATER, interval=timedelta(seconds=7.5))
    await store.write(lambda tx: tx.put_device_login(approved))
    assert await store.read(lambda tx: tx.device_login_by_code("CODE-one")) == approved
    await store.write(lambda tx: tx.delete_device_login("one"))
    assert await store.read(lambda tx: tx.device_login("one")) is None


async def test_those_that_wait_are_counted_and_the_others_forgotten(store: Store) -> None:
    assert await store.read(lambda tx: tx.count_device_logins("192.0.2.1", NOW)) == (0, 0)
    await store.write(lambda tx: tx.put_device_login(login("one")))
    await store.write(lambda tx: tx.put_device_login(login("two", "2001:db8::")))
    assert await store.read(lambda tx: tx.count_device_logins("192.0.2.1", NOW)) == (2, 1)
    assert await store.read(lambda tx: tx.count_device_logins("192.0.2.1", ENDS)) == (0, 0)
    await store.write(lambda tx: tx.forget_device_logins(LATER))
    assert await store.read(lambda tx: tx.device_login("one")) is not None
    await store.write(lambda tx: tx.forget_device_logins(ENDS))
    assert await store.read(lambda tx: tx.device_login("one")) is None


async def test_the_oldest_of_the_network_with_most_open_ones_is_found(store: Store) -> None:
    assert await store.read(lambda tx: tx.most_crowded_device_login(NOW)) is None
    young = replace(login("a"), created=LATER)
    approved = [replace(login(f"c{n}", "third"), session="s") for n in range(3)]

    def fill(tx: Transaction) -> None:
        for one in (young, login("b"), login("other", "2001:db8::"), *approved):
            tx.put_device_login(one)

    await store.write(fill)
    found = await store.read(lambda tx: tx.most_crowded_device_login(NOW))
    assert found == login("b")
    assert await store.read(lambda tx: tx.most_crowded_device_login(ENDS)) is None
