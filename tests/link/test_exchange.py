"""Questions that come at the same time."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from broker.messages import Encoding, Message
from broker.topics import Channel
from cloud.errors import CloudError, Invalid, NotFound, Unavailable
from cloud.link.exchange import GROUP, Exchange, NodeRequest
from cloud.store.transaction import Store, Transaction
from tests.link.conftest import NOW, describe


class SlowStore:
    """A store whose writer waits for `go`, then raises *errors* one after the other, then works."""

    def __init__(self, store: Store, *errors: Exception) -> None:
        self._store = store
        self._errors = list(errors)
        self.go = asyncio.Event()
        self.writes = 0

    async def write(self, work: Callable[[Transaction], Any]) -> Any:
        self.writes += 1
        await self.go.wait()
        if self._errors:
            raise self._errors.pop(0)
        return await self._store.write(work)

    write_concurrent = write

    async def read(self, work: Callable[[Transaction], Any]) -> Any:
        return await self._store.read(work)

    read_short = read


def reported(exchange: Exchange, node_id: str = "default.n1") -> NodeRequest:
    message = Message("report", {"apps": []})
    return exchange.read(node_id, Channel.REPORT, message, Encoding.JSON, NOW)


async def asked(exchange: Exchange, *questions: NodeRequest) -> list["asyncio.Task[Any]"]:
    tasks = [asyncio.create_task(exchange.ask(question)) for question in questions]
    await asyncio.sleep(0)  # each runs until it waits for the store or for its turn
    return tasks


@pytest.fixture
async def slow(store: Store) -> SlowStore:
    await store.write(describe)
    return SlowStore(store)


async def test_questions_that_come_meanwhile_are_stored_together(slow: SlowStore) -> None:
    exchange = Exchange(slow, lambda: NOW)
    tasks = await asked(exchange, *(reported(exchange) for _ in range(GROUP + 1)))
    slow.go.set()
    answers = [await task for task in tasks]
    assert [answer.kind for answer in answers] == ["report"] * (GROUP + 1)
    assert slow.writes == 2  # the first found no write in progress, the others waited for it


async def test_one_that_is_refused_takes_no_other_with_it(slow: SlowStore) -> None:
    exchange = Exchange(slow, lambda: NOW)
    first, bad, good = await asked(
        exchange, reported(exchange), reported(exchange, "default.none"), reported(exchange)
    )
    slow.go.set()
    assert (await first).kind == (await good).kind == "report"
    with pytest.raises(NotFound):
        await bad


async def test_a_defect_takes_no_other_with_it(store: Store) -> None:
    await store.write(describe)
    slow = SlowStore(store, RuntimeError("together"), RuntimeError("alone"))
    exchange = Exchange(slow, lambda: NOW)
    tasks = await asked(exchange, *(reported(exchange) for _ in range(3)))
    slow.go.set()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    failed = [outcome for outcome in outcomes if isinstance(outcome, CloudError)]
    assert [type(error).code for error in failed] == ["UnknownError"]
    assert len(failed) == len(outcomes) - 2


async def test_all_reports_of_a_group_fail_without_a_store_and_the_next_are_tried(
    store: Store,
) -> None:
    await store.write(describe)
    slow = SlowStore(store, Unavailable("disk full"), Unavailable("disk full"))
    exchange = Exchange(slow, lambda: NOW)
    tasks = await asked(exchange, *(reported(exchange) for _ in range(4)))
    slow.go.set()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [Unavailable] * 4
    assert slow.writes == 2
    [task] = await asked(exchange, reported(exchange))
    assert (await task).kind == "report"


async def test_who_goes_away_while_it_has_the_turn_leaves_it_to_the_next(slow: SlowStore) -> None:
    exchange = Exchange(slow, lambda: NOW)
    first, second = await asked(exchange, reported(exchange), reported(exchange))
    first.cancel()
    slow.go.set()
    assert (await second).kind == "report"
    with pytest.raises(asyncio.CancelledError):
        await first
    [third] = await asked(exchange, reported(exchange))
    assert (await third).kind == "report"


async def test_a_reported_interval_is_the_expected_one(store: Store) -> None:
    await store.write(describe)
    exchange = Exchange(store, lambda: NOW)

    def report(interval: object) -> NodeRequest:
        message = Message("report", {}, {"interval": interval})  # type: ignore[dict-item]
        return exchange.read("default.n1", Channel.REPORT, message, Encoding.JSON, NOW)

    await exchange.ask(report(3600))
    heard = await store.read(lambda tx: tx.heard("default", "n1"))
    assert heard is not None
    assert heard.cadence.interval == timedelta(hours=1)
    with pytest.raises(Invalid) as caught:
        report("often")
    assert caught.value.field == "meta.interval"


def _sent(exchange: Exchange, sequence: int, usage: str, status: str = "Running") -> NodeRequest:
    content = {
        "apps": [],
        "appstats": [{"name": "web", "version": "1", "status": status}],
        "nodestats": {"usage": {"cpu": usage}},
    }
    message = Message("report", content, {"seq": sequence, "run": "r"})
    return exchange.read("default.n1", Channel.REPORT, message, Encoding.JSON, NOW)


async def _stored_after(store: Store, exchange: Exchange, sent: list[NodeRequest]) -> bytes:
    await store.write(describe)
    await exchange.carry_out(sent)
    outcomes = [one.outcome for one in sent]
    assert all(isinstance(outcome, Message) for outcome in outcomes)
    stored = await store.read(lambda tx: tx.report("default", "n1"))
    return stored.report.document if stored else b""


async def test_reports_that_repeat_each_other_are_each_answered_and_stored_once(
    store: Store,
) -> None:
    exchange = Exchange(store, lambda: NOW)
    sent = [_sent(exchange, number, f"0.{number}") for number in (1, 2, 3)]
    document = await _stored_after(store, exchange, sent)
    assert b'"0.3"' in document
    answers = [one.outcome for one in sent if isinstance(one.outcome, Message)]
    assert [answer.meta["seq"] for answer in answers] == [1, 2, 3]
    assert [answer.content for answer in answers] == [answers[0].content] * 3


async def test_an_older_report_that_comes_after_a_newer_one_does_not_replace_it(
    store: Store,
) -> None:
    exchange = Exchange(store, lambda: NOW)
    sent = [_sent(exchange, number, f"0.{number}") for number in (5, 4)]
    assert b'"0.5"' in await _stored_after(store, exchange, sent)


async def test_only_a_report_that_shows_the_same_repeats_another(store: Store) -> None:
    exchange = Exchange(store, lambda: NOW)
    first, second, failed = (
        _sent(exchange, 1, "0.1"),
        _sent(exchange, 2, "0.2"),
        _sent(exchange, 3, "0.3", status="Failed"),
    )
    assert first.report is not None
    assert second.report is not None
    assert failed.report is not None
    assert first.report.is_repeated_by(second.report)
    assert not second.report.is_repeated_by(first.report)
    assert not second.report.is_repeated_by(failed.report)
    assert not failed.report.is_repeated_by(second.report)
