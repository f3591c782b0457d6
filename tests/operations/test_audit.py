"""A change and its entry are one; old entries are deleted, and counted as deleted."""

from dataclasses import replace
from datetime import timedelta

import pytest

from cloud.core.audit import ADMINISTRATOR, Action, Attempt, AuditFilter, ChainedEntry, Head
from cloud.core.batch import Batch, BatchSpec, Record
from cloud.core.certificate import NodeCertificate
from cloud.core.listing import Place
from cloud.core.node import Node, NodeSpec
from cloud.core.tokens import EVERYWHERE
from cloud.errors import Denied, NotFound
from cloud.operations.audit import (
    PAGE_LIMIT,
    PRUNED_AT_A_TIME,
    AuditPage,
    carry_out,
    list_entries,
    prune,
    record_audit,
    refuse,
)
from cloud.operations.change_tracking import changes
from cloud.store.transaction import Store, Transaction
from tests.operations.conftest import NOW

NO_CHANGE_OF_A_THING = {
    # What is known of the values of a secret; where they change, the secret does.
    "put_source_state",
    # Sessions of users, of which the log has entries of their own.
    "put_user_session",
    "delete_user_session",
    "delete_sessions_of",
    # Keys of nodes, which activation and renewal prove.
    "put_encryption_key",
    "delete_encryption_key",
    # Logins of the command line, until a session begins, which has an entry.
    "put_device_login",
    "delete_device_login",
    "forget_device_logins",
    # The last code of a second factor that was used.
    "set_totp_step",
    # The administrator's token, which a command changes with an entry of its own.
    "put_admin_access",
    # How far the published list of certificates is.
    "put_revocation_state",
    # The outcome of updates sent to nodes.
    "put_deploy",
    "delete_old_deploys",
    # Deliveries to callbacks and their outcome.
    "put_delivery",
    "delete_delivery",
    "record_success",
    "record_error",
    "forget_given_up",
    "forget_finished",
    # Groups of events that notifications are about.
    "put_notification_group",
    "take_due_groups",
    # Reports of nodes, and their pending updates.
    "put_report",
    "put_usage",
    "put_running",
    "set_deploy_status",
    "set_pending_statuses",
    "put_init_heard",
    "put_usage_point",
    "set_usage_step",
    # Which servers are there; no user asks for it.
    "record_server",
    "renew_server",
    "forget_server",
    # By the way, of tokens that open nothing any more.
    "delete_expired_install_tokens",
    # The pending nodes.
    "mark_pending",
    "mark_names_pending",
    "mark_selected_pending",
    "take_pending",
    "hold_pending",
    "restore_pending",
    # The events, and the positions of their readers.
    "record_event",
    "add_trend_reports",
    "prune_trends",
    "record_refused_device",
    "forget_refused_devices",
    "put_event_folds",
    "take_ended_folds",
    "prune_events",
    "record_ready",
    "take_lost",
    "take_ends",
    # What things were, kept with each change of them.
    "put_revision",
    "delete_old_revisions",
    "forget_deleted",
    # What nodes get by a rollout, and rollouts that are over.
    "put_assignments",
    "delete_assignments",
    "delete_old_rollouts",
    # Commands that are over, by age and number.
    "delete_old_commands",
    "forget_commands",
    "postpone_checks",
    # Looks at records of batches.
    "record",
    "record_by_fingerprint",
    # The log itself.
    "append_audit",
    "prune_audit",
}


def attempt(action: str = "node.create", name: str = "asked") -> Attempt:
    return Attempt(ADMINISTRATOR, action, NOW, "default", name)


def node(name: str) -> Node:
    return Node("default", name, NodeSpec(), NOW, NOW)


async def log(store: Store) -> list[ChainedEntry]:
    return list(
        await store.read(
            lambda tx: tx.audit_links(AuditFilter(EVERYWHERE), below=2**62, limit=10**6)
        )
    )


def test_every_change_of_a_thing_is_watched() -> None:
    verbs = {"put", "add", "delete", "revoke", "reset", "prune", "append", "mark", "take"}
    verbs |= {
        "retry",
        "set",
        "change",
        "move",
        "replace",
        "clear",
        "forget",
        "record",
        "renew",
        "hold",
        "restore",
        "postpone",
        "insert",
    }
    methods = {name for name in dir(Transaction) if name.partition("_")[0] in verbs}
    assert methods - NO_CHANGE_OF_A_THING == set(changes())


async def test_the_one_thing_that_was_changed_is_named(store: Store) -> None:
    def change(tx: Transaction) -> str:
        tx.put_node(node("a"))
        tx.put_node(replace(node("a"), spec=NodeSpec(description="d")))
        return "result"

    result = await store.write(lambda tx: carry_out(tx, attempt(), change))
    (link,) = await log(store)
    assert (result, link.entry.attempt.name, link.entry.before) == ("result", "a", "")
    assert '"description":"d"' in link.entry.after
    assert link.entry.also == ""


async def test_several_things_are_counted(store: Store) -> None:
    def change(tx: Transaction) -> None:
        tx.put_batch(Batch("default", "b", BatchSpec(), NOW, NOW))
        for name in ("r1", "r2", "r3"):
            tx.put_record(Record("default", "b", name, name, name, NOW, NOW))
        for name in ("a", "b"):
            tx.put_node(node(name))
        tx.delete_record("default", "b", "r1")
        tx.delete_record("default", "b", "gone")

    await store.write(lambda tx: carry_out(tx, attempt(), change))
    (link,) = await log(store)
    assert link.entry.also == '{"batch":1,"node":2,"record":4}'
    assert (link.entry.attempt.name, link.entry.before, link.entry.after) == ("asked", "", "")


async def test_a_change_of_what_has_no_description_is_recorded(store: Store) -> None:
    def change(tx: Transaction) -> None:
        tx.put_certificate(NodeCertificate(9, "default.n1", NOW, NOW))

    await store.write(lambda tx: carry_out(tx, attempt(Action.CERTIFICATE_RENEW), change))
    (link,) = await log(store)
    assert (link.entry.before, link.entry.after) == ("", "")


async def test_what_fails_is_neither_done_nor_put_down(store: Store) -> None:
    def change(tx: Transaction) -> None:
        tx.put_node(node("a"))
        raise NotFound("node", "b")

    with pytest.raises(NotFound):
        await store.write(lambda tx: carry_out(tx, attempt(), change))
    assert await log(store) == []
    assert await store.read(lambda tx: tx.node("default", "a")) is None


async def test_a_refusal_has_its_code_and_what_was_left_out(store: Store) -> None:
    await store.write(lambda tx: refuse(tx, attempt(name="a\nb" * 100), Denied("no")))
    await store.write(lambda tx: refuse(tx, attempt(), Denied("no"), left_out=7))
    second, first = await log(store)
    assert first.entry.outcome == second.entry.outcome == "RequestAccessDenied"
    assert (first.entry.also, second.entry.also) == ("", '{"leftOut":7}')
    assert first.entry.attempt.name.startswith("a?ba?b")
    assert len(first.entry.attempt.name) == 200


async def fill(store: Store, count: int) -> None:
    def work(tx: Transaction) -> None:
        for number in range(count):
            record_audit(tx, replace(attempt(), time=NOW + timedelta(minutes=number)))

    await store.write(work)


async def pruned(store: Store, *, keep: int, oldest: int) -> int:
    """How many entries go where those from before a minute, or beyond the last few, are to."""
    moment = NOW + timedelta(minutes=oldest)
    return await store.write(lambda tx: prune(tx, keep=keep, oldest=moment, now=NOW))


async def test_old_entries_are_deleted_and_counted_as_deleted(store: Store) -> None:
    await fill(store, 10)
    assert await pruned(store, keep=100, oldest=0) == 0
    assert await pruned(store, keep=100, oldest=3) == 3
    newest, *_, oldest = await log(store)
    assert newest.entry.attempt.action == Action.LOG_PRUNE
    assert newest.entry.also == '{"upTo":3}'
    assert oldest.number == 4
    assert await pruned(store, keep=5, oldest=3) == 4
    assert [link.number for link in await log(store)] == [12, 11, 10, 9, 8]
    assert await pruned(store, keep=5, oldest=3) == 0


async def test_a_clock_that_went_back_keeps_what_came_after(store: Store) -> None:
    """An entry goes only where all before it may go too."""
    for minute in (5, 0, 6):
        moment = NOW + timedelta(minutes=minute)
        await store.write(lambda tx: record_audit(tx, replace(attempt(), time=moment)))  # noqa: B023
    assert await pruned(store, keep=100, oldest=3) == 0


async def test_much_is_pruned_bit_by_bit(store: Store) -> None:
    await fill(store, PRUNED_AT_A_TIME + 10)
    assert await pruned(store, keep=5, oldest=0) == PRUNED_AT_A_TIME
    assert await pruned(store, keep=5, oldest=0) == 7
    assert await pruned(store, keep=5, oldest=0) == 0


async def page(store: Store, *, limit: int, after: Place | None = None) -> AuditPage:
    wanted = AuditFilter("default")
    return await store.read(lambda tx: list_entries(tx, wanted, limit=limit, after=after))


async def test_pages_lead_from_the_newest_to_the_oldest(store: Store) -> None:
    assert (await page(store, limit=3)).head == Head()
    await fill(store, 5)
    first = await page(store, limit=3)
    assert [link.number for link in first.page.items] == [5, 4, 3]
    assert (first.page.total, first.head.number) == (5, 5)
    await fill(store, 1)
    second = await page(store, limit=3, after=first.page.after)
    assert [link.number for link in second.page.items] == [2, 1]
    assert second.page.after is None


async def test_a_page_is_bounded_whatever_is_asked(store: Store) -> None:
    await fill(store, PAGE_LIMIT + 1)
    for limit in (0, PAGE_LIMIT + 1):
        found = await page(store, limit=limit)
        assert len(found.page.items) == PAGE_LIMIT
        assert found.page.after is not None
