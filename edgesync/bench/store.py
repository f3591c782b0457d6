"""The cost of a store alone: reports put, in groups as a server puts them."""

import asyncio
import time
from datetime import UTC, datetime
from pathlib import Path

from cloud.config import Settings
from cloud.core.node import Node, NodeSpec
from cloud.core.report import Order, read_report
from cloud.link.exchange import GROUP
from cloud.opening import open_store
from cloud.store.sealing import load_or_create_sealer
from cloud.store.transaction import Transaction
from cloud.store.witness import load_or_create_witness
from edgesync.bench.light_node import report_content

_NAMESPACE = "alone"
_HELD = {"bench": "1"}


def reports_alone(directory: Path, url: str, nodes: int, size: int, seconds: float) -> float:
    """Reports a second that are committed; in a database at *url*, or in a file in *directory*."""
    directory.mkdir()
    return asyncio.run(_put_reports(directory, url, nodes, size, seconds))


async def _put_reports(directory: Path, url: str, nodes: int, size: int, seconds: float) -> float:
    now = datetime.now(UTC)
    content = report_content("n", _HELD, size)
    reports = [
        read_report({**content, "core": {"number": number}}, Order("run", number))
        for number in range(GROUP)
    ]

    def describe(tx: Transaction) -> None:
        for number in range(nodes):
            tx.put_node(Node(_NAMESPACE, f"n{number}", NodeSpec(), now, now))

    def put(tx: Transaction, start: int) -> None:
        names = [f"n{number % nodes}" for number in range(start, start + GROUP)]
        tx.expect_nodes([(_NAMESPACE, name) for name in names])
        for name, report in zip(names, reports, strict=True):
            tx.put_report(_NAMESPACE, name, report, "msgpack", now)

    async with open_store(
        Settings(data_dir=directory, database=url),
        sealer=load_or_create_sealer(directory / "secrets.key"),
        witness=load_or_create_witness(directory),
    ) as store:
        await store.write(describe)
        began, count = time.perf_counter(), 0
        while (took := time.perf_counter() - began) < seconds:
            await store.write_concurrent(lambda tx, start=count: put(tx, start))  # type: ignore[misc]
            count += GROUP
        return count / took
