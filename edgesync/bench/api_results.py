"""The figures of the benchmark of the API, and how they are printed."""

import json
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ApiResult:
    """The time of one kind of call in milliseconds, and of the store alone beside it."""

    name: str
    calls: int
    first_ms: float
    p50_ms: float
    p99_ms: float
    store_p50_ms: float

    @property
    def ratio(self) -> float:
        """How many times as long as the store alone the call took."""
        return self.p50_ms / self.store_p50_ms


@dataclass(frozen=True, slots=True)
class ParallelResult:
    """Answers a second of one kind of read over *connections*, and the CPU of the server for each.

    *alone* are reads a second of the store alone.
    """

    name: str
    connections: int
    per_second: float
    cpu_ms: float
    alone: float


@dataclass(frozen=True, slots=True)
class Rates:
    """Nodes a second, by key, in transactions of a thousand."""

    put: float
    got: float


def results_as_json(
    nodes: int, rates: Rates, results: Sequence[ApiResult], parallel: Sequence[ParallelResult]
) -> str:
    """All figures as one line of JSON."""
    lines = [
        {
            "name": one.name,
            "calls": one.calls,
            "first_ms": round(one.first_ms, 3),
            "p50_ms": round(one.p50_ms, 3),
            "p99_ms": round(one.p99_ms, 3),
            "store_p50_ms": round(one.store_p50_ms, 3),
            "ratio": round(one.ratio, 3),
        }
        for one in results
    ]
    put, got = round(rates.put), round(rates.got)
    content = {"nodes": nodes, "put_nodes_per_second": put, "got_nodes_per_second": got}
    reads = [
        {
            "name": one.name,
            "connections": one.connections,
            "per_second": round(one.per_second, 1),
            "server_cpu_ms": round(one.cpu_ms, 3),
            "store_per_second": round(one.alone, 1),
        }
        for one in parallel
    ]
    return json.dumps({**content, "calls": lines, "parallel": reads})


def results_as_text(
    rates: Rates, results: Sequence[ApiResult], parallel: Sequence[ParallelResult]
) -> str:
    """A table with a line for each kind of call, and one of reads in parallel."""
    times = "".join(f"{name:>10}" for name in ("first ms", "p50 ms", "p99 ms", "store ms"))
    head = f"{'':68} {'calls':>6}{times} {'ratio':>7}"
    lines = [
        f"{one.name:68} {one.calls:6} {one.first_ms:9.2f} {one.p50_ms:9.2f} {one.p99_ms:9.2f}"
        f" {one.store_p50_ms:9.2f} {one.ratio:7.2f}"
        for one in results
    ]
    rate = f"the store alone: {rates.put:.0f} nodes/s put, {rates.got:.0f} nodes/s got"
    if parallel:
        titles = ("answers/s", "CPU ms", "store/s")
        lines += ["", f"{'':60} {'connections':>14}" + "".join(f"{one:>11}" for one in titles)]
    lines += [
        f"{one.name:60} {one.connections:14} {one.per_second:10.0f} {one.cpu_ms:10.2f}"
        f" {one.alone:10.0f}"
        for one in parallel
    ]
    return "\n".join((rate, head, *lines))
