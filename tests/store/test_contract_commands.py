"""What every store promises of commands to nodes."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from cloud.core.audit import Actor
from cloud.core.commands import Command, CommandKind, CommandStatus, NodeResponse
from cloud.errors import NotFound
from cloud.store.transaction import Store, Transaction
from tests.conftest import StoreFactory
from tests.store.conftest import LATER, NOW, node, report
from tests.store.test_contract_callbacks import bytes_in

DEADLINE = NOW + timedelta(seconds=30)
DONE = NodeResponse(CommandStatus.DONE, "the password is öpen sesame\n", "", is_cut=True)


def command(own_id: str = "c", name: str = "n", namespace: str = "default") -> Command:
    return Command(
        id=own_id,
        namespace=namespace,
        name=name,
        command=CommandKind.LOGS,
        actor=Actor("token", "ci", "default"),
        created=NOW,
        deadline=DEADLINE,
        app="web",
        lines=7,
    )


def add(tx: Transaction, *commands: Command) -> None:
    tx.put_node(node())
    tx.put_node(node("n", "other"))
    for one in commands:
        tx.add_command(one)


async def test_a_command_is_got_as_it_was_added_by_its_node_and_id_alone(store: Store) -> None:
    await store.write(lambda tx: add(tx, command()))

    def look(tx: Transaction) -> None:
        assert tx.command("default", "n", "c") == command()
        for place in (("other", "n", "c"), ("default", "m", "c"), ("default", "n", "d")):
            assert tx.command(*place) is None
        assert tx.commands("other", "n") == []

    await store.read(look)


async def test_a_command_needs_its_node_and_goes_with_it(store: Store) -> None:
    with pytest.raises(NotFound):
        await store.write(lambda tx: tx.add_command(command()))
    await store.write(lambda tx: add(tx, command()))
    await store.write(lambda tx: tx.delete_node("default", "n"))
    assert await store.read(lambda tx: tx.command("default", "n", "c")) is None


async def test_what_waits_is_claimed_once_oldest_first_and_not_after_the_deadline(
    store: Store,
) -> None:
    first, second = command("b"), replace(command("a"), created=LATER)
    other = command("d", namespace="other")

    def work(tx: Transaction) -> None:
        add(tx, second, first, other)
        assert tx.nodes_to_command(NOW, 9) == [("default", "n"), ("other", "n")]
        assert tx.nodes_to_command(NOW, 1) == [("default", "n")]
        assert tx.nodes_to_command(DEADLINE, 9) == []
        assert tx.claim_commands("default", "n", DEADLINE) == []
        claimed = tx.claim_commands("default", "n", LATER)
        sent = [replace(one, status=CommandStatus.SENT, sent=LATER) for one in (first, second)]
        assert claimed == sent
        assert tx.claim_commands("default", "n", LATER) == []
        assert tx.nodes_to_command(NOW, 9) == [("other", "n")]
        tx.give_back_command("b")
        assert tx.command("default", "n", "b") == first
        assert tx.claim_commands("default", "n", NOW) == [replace(sent[0], sent=NOW)]

    await store.write(work)


async def test_an_answer_counts_once_before_the_deadline_from_its_own_node(store: Store) -> None:
    def work(tx: Transaction) -> None:
        add(tx, command())
        tx.claim_commands("default", "n", NOW)
        for place in (("other", "n", "c"), ("default", "m", "c"), ("default", "n", "d")):
            assert not tx.end_command(*place, DONE, LATER)
        assert not tx.end_command("default", "n", "c", DONE, DEADLINE)
        assert tx.end_command("default", "n", "c", DONE, LATER)
        assert not tx.end_command("default", "n", "c", NodeResponse(CommandStatus.FAILED), LATER)
        tx.give_back_command("c")

    await store.write(work)
    found = await store.read(lambda tx: tx.command("default", "n", "c"))
    ended = replace(command(), status=CommandStatus.DONE, sent=NOW, ended=LATER, is_cut=True)
    ended = replace(ended, output_end=len(DONE.output))
    assert found == replace(ended, output=DONE.output)
    assert await store.read(lambda tx: tx.commands("default", "n")) == [ended]


async def test_parts_count_once_in_their_order_and_leave_the_command_open(store: Store) -> None:
    followed = replace(command(), since_seconds=60, is_following=True)
    first = NodeResponse(CommandStatus.SENT, "one\n", part=2, output_end=4)

    def work(tx: Transaction) -> None:
        add(tx, followed)
        tx.claim_commands("default", "n", NOW)
        assert tx.end_command("default", "n", "c", first, LATER)
        assert not tx.end_command("default", "n", "c", replace(first, part=1), LATER)
        assert not tx.end_command("default", "n", "c", first, LATER)
        sent = replace(followed, status=CommandStatus.SENT, sent=NOW, part=2, output_end=4)
        assert tx.command("default", "n", "c") == replace(sent, output="one\n")
        assert tx.commands("default", "n") == [sent]
        last = NodeResponse(CommandStatus.DONE, "one\ntwo\n", part=3, output_end=8)
        assert tx.end_command("default", "n", "c", last, LATER)
        ended = replace(sent, status=CommandStatus.DONE, ended=LATER, part=3, output_end=8)
        assert tx.command("default", "n", "c") == replace(ended, output="one\ntwo\n")

    await store.write(work)


async def test_an_answer_before_its_command_is_recorded_as_sent_is_accepted(store: Store) -> None:
    def work(tx: Transaction) -> bool:
        add(tx, command())
        return tx.end_command("default", "n", "c", DONE, LATER)

    assert await store.write(work)


async def test_open_ones_are_counted_and_old_ones_forgotten(store: Store) -> None:
    def work(tx: Transaction) -> None:
        moments = [NOW + timedelta(seconds=n) for n in range(5)]
        commands = [replace(command(f"c{n}"), created=at) for n, at in enumerate(moments)]
        commands[0] = replace(commands[0], deadline=LATER)
        add(tx, *commands, command("x", namespace="other"))
        assert tx.count_open_commands("default", "n", NOW) == 5
        assert tx.count_open_commands("default", "n", LATER) == 4
        tx.end_command("default", "n", "c1", DONE, LATER)
        assert tx.count_open_commands("default", "n", LATER) == 3
        tx.delete_old_commands("default", "n", 2, LATER)
        # c0 has expired, c1 has ended; c2 is open.
        assert [one.id for one in tx.commands("default", "n")] == ["c4", "c3", "c2"]
        assert tx.forget_commands(DEADLINE) == 0
        assert tx.forget_commands(DEADLINE + timedelta(1)) == 4

    await store.write(work)


async def test_the_encoding_of_a_node_is_that_of_its_last_report(store: Store) -> None:
    def work(tx: Transaction) -> None:
        add(tx)
        assert tx.encoding_of_node("default", "n") is None
        tx.put_report("default", "n", report(), "msgpack", NOW)
        assert tx.encoding_of_node("default", "n") == "msgpack"

    await store.write(work)


async def test_nothing_of_an_output_can_be_read_in_the_file(
    open_again: StoreFactory, tmp_path: Path
) -> None:
    def work(tx: Transaction) -> None:
        add(tx, command())
        tx.end_command("default", "n", "c", DONE, LATER)

    async with open_again(tmp_path) as store:
        await store.write(work)
    assert b"sesame" not in bytes_in(tmp_path)
