"""What every store promises of the certificates of nodes."""

from collections.abc import Callable
from datetime import datetime, timedelta

from cloud.core.certificate import NodeCertificate
from cloud.core.expiry import CertificateEnd
from cloud.core.listing import ListOptions, Page
from cloud.core.revocation import RevocationState
from cloud.store.transaction import Store, Transaction
from tests.store.conftest import LATER, NOW, node

DAY = timedelta(days=1)
FAR = NOW + 1000 * DAY


def put(
    *certificates: tuple[int, str, datetime], revoked: datetime | None = None
) -> Callable[[Transaction], None]:
    def work(tx: Transaction) -> None:
        for serial, node_id, expires in certificates:
            tx.put_certificate(NodeCertificate(serial, node_id, NOW, expires, revoked))

    return work


async def ends(
    store: Store, before: datetime = FAR, options: ListOptions | None = None
) -> Page[CertificateEnd]:
    asked = options or ListOptions()
    return await store.read(lambda tx: tx.list_certificate_ends("default", before, asked))


async def add_nodes(store: Store, *names: str) -> None:
    def work(tx: Transaction) -> None:
        for name in names:
            tx.put_node(node(name))
        tx.put_node(node("n1", "other"))

    await store.write(work)


async def test_of_each_node_the_certificate_counts_that_ends_last(store: Store) -> None:
    await add_nodes(store, "n1", "n2", "n3")
    big = 2**159 - 1
    await store.write(put((1, "default.n1", NOW + 9 * DAY), (big, "default.n2", NOW + 5 * DAY)))
    await store.write(put((3, "default.n1", NOW + DAY), (4, "default.gone", NOW + DAY)))
    await store.write(put((5, "default.n3", NOW + DAY), revoked=NOW))
    await store.write(put((6, "other.n1", NOW + DAY)))
    page = await ends(store)
    assert page.items == [
        CertificateEnd("default", "n2", big, NOW + 5 * DAY),
        CertificateEnd("default", "n1", 1, NOW + 9 * DAY),
    ]
    assert (page.total, page.after) == (2, None)
    assert (await ends(store, NOW + 9 * DAY)).total == 1, "before, not at"


async def test_ends_are_paged_in_their_order(store: Store) -> None:
    names = [f"n{number}" for number in range(7)]
    await add_nodes(store, *names)
    await store.write(
        put(*((at, f"default.{name}", NOW + (at % 3) * DAY) for at, name in enumerate(names)))
    )
    seen, options = [], ListOptions(limit=2)
    while True:
        page = await ends(store, options=options)
        assert page.total == 7
        seen += [one.name for one in page.items]
        if page.after is None:
            break
        options = ListOptions(limit=2, after=page.after)
    assert seen == ["n0", "n3", "n6", "n1", "n4", "n2", "n5"]


async def test_ends_of_all_namespaces_are_counted_up_to_each_bound(store: Store) -> None:
    await add_nodes(store, "n1", "n2")
    await store.write(
        put((1, "default.n1", NOW), (2, "default.n2", NOW + DAY), (3, "other.n1", NOW + 2 * DAY))
    )
    bounds = [NOW - DAY, NOW, NOW + DAY, None]
    assert await store.read(lambda tx: tx.count_certificate_ends(bounds)) == [0, 1, 2, 3]


async def test_a_node_that_is_gone_or_shut_out_has_no_end(store: Store) -> None:
    await add_nodes(store, "n1", "n2", "n3")
    await store.write(put(*((at, f"default.n{at}", NOW + DAY) for at in (1, 2, 3))))
    await store.write(lambda tx: tx.delete_node("default", "n1"))
    assert await store.write(lambda tx: tx.revoke_certificates("default.n2", LATER)) == 1
    assert [one.name for one in (await ends(store)).items] == ["n3"]


async def test_what_was_revoked_is_known_until_it_is_asked_for_no_more(store: Store) -> None:
    await store.write(
        put((1, "default.n1", NOW + 2 * DAY), (2, "default.n1", NOW + DAY), (3, "default.n2", FAR))
    )
    await store.write(lambda tx: tx.revoke_certificates("default.n1", LATER))
    found = await store.read(lambda tx: tx.revoked_certificates(NOW))
    assert [(one.serial, one.revoked) for one in found] == [(2, LATER), (1, LATER)]
    later = await store.read(lambda tx: tx.revoked_certificates(NOW + DAY))
    assert [one.serial for one in later] == [1]


async def test_changes_are_counted_and_the_last_list_is_remembered(store: Store) -> None:
    await store.write(put((1, "default.n1", FAR), (2, "default.n1", FAR)))
    first = await store.read(lambda tx: tx.revocation_state())
    assert (first.changes, first.number) == (0, 0)
    state = RevocationState(77, 5, LATER)
    await store.write(lambda tx: tx.put_revocation_state(state))
    for count in (2, 0):
        assert await store.write(lambda tx: tx.revoke_certificates("default.n1", NOW)) == count
    found = await store.read(lambda tx: tx.revocation_state())
    assert found == RevocationState(1, 5, LATER)


async def test_who_is_cut_off_had_certificates_and_all_of_them_were_taken_back(
    store: Store,
) -> None:
    async def is_cut_off(since: datetime = NOW) -> bool:
        await store.write(lambda tx: tx.put_node(node("n1", created=since)))
        seen = await store.read(lambda tx: tx.seen_node("default", "n1"))
        assert seen is not None
        page = await store.read(lambda tx: tx.list_seen_nodes("default", ListOptions()))
        assert page.items == [seen]
        return seen.is_revoked

    await store.write(put((2, "default.n10", FAR), revoked=LATER))
    assert not await is_cut_off()
    await store.write(put((1, "default.n1", NOW + DAY)))
    assert not await is_cut_off()
    await store.write(lambda tx: tx.revoke_certificates("default.n1", LATER))
    assert await is_cut_off()
    assert not await is_cut_off(LATER), "of a node of that name before"
    await store.write(put((3, "default.n1", NOW + DAY)))
    assert not await is_cut_off()
