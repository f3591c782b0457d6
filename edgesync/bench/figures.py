"""Figures of a benchmark, each beside a reference, as a table or as JSON."""

import json
import os
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

_LEAST_WIDTH = 150  # columns; in fewer the table cannot be read

LIGHT = "light nodes"
"""Nodes of `edgesync.bench.light_node`: the whole protocol, nothing on disk."""
FULL = "simulated nodes"
"""Nodes of `edgesync sim`, with files and timers."""
DEVICES = "activating devices"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One result, beside another of the same run."""

    name: str
    layout: str
    value: float
    unit: str
    beside: str
    """The reference."""
    beside_value: float
    nodes: int
    load: str
    """Which nodes made the load."""
    load_cores: float
    """CPU that they took, of one core."""
    details: dict[str, float]
    """Further values, by name with unit."""
    system_load: float
    """The machine's load average over a minute when it was measured."""


def system_load() -> float:
    """Load average of the last minute."""
    return os.getloadavg()[0]


def machine() -> dict[str, Any]:
    """The machine it was measured on."""
    return {
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "processor": _processor(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.machine()


@dataclass(frozen=True, slots=True)
class ComparedFigure:
    """A figure by layout, each beside that of one layout in the same run."""

    name: str
    unit: str
    values: Mapping[str, float]
    ratios: Mapping[str, float]
    """The value divided by that of the reference; empty where that was not measured."""


def compared(
    figures: Sequence[Figure], reference: str, details: Sequence[str] = ()
) -> list[ComparedFigure]:
    """Each figure, and those of its *details*, of all layouts beside the *reference*."""
    found: dict[tuple[str, str], dict[str, float]] = {}
    for one in figures:
        found.setdefault((one.name, one.unit), {})[one.layout] = one.value
        for detail in details:
            if detail in one.details:
                named = (f"{one.name}: {detail}", "")
                found.setdefault(named, {})[one.layout] = one.details[detail]
    return [
        ComparedFigure(
            name,
            unit,
            values,
            {layout: value / values[reference] for layout, value in values.items()}
            if values.get(reference)
            else {},
        )
        for (name, unit), values in found.items()
    ]


def as_json(
    figures: Sequence[Figure], skipped: Sequence[str], rows: Sequence[ComparedFigure] = ()
) -> str:
    """All of it, for programs."""
    content = {
        "machine": machine(),
        "figures": [asdict(figure) for figure in figures],
        "compared": [asdict(row) for row in rows],
        "skipped": list(skipped),
    }
    return json.dumps(content, indent=1)


def print_comparison(rows: Sequence[ComparedFigure], reference: str) -> None:
    """Values of all layouts, with their ratios to the *reference*, in one table."""
    layouts = list(dict.fromkeys(layout for row in rows for layout in row.values))
    table = Table(
        title=f"the same run, and how many times {reference}", title_justify="left", show_lines=True
    )
    for heading in ("figure", *layouts):
        table.add_column(heading, overflow="fold")
    for row in rows:
        cells = [
            f"{_short(row.values[one])} {row.unit}"
            + (f"\n[bold]{row.ratios[one]:.2f}[/] times" if one in row.ratios else "")
            if one in row.values
            else ""
            for one in layouts
        ]
        table.add_row(row.name, *cells)
    _print(table)


def print_table(figures: Sequence[Figure]) -> None:
    """All of it, for people."""
    here = machine()
    title = f"{here['cores']} cores of {here['processor']}, shared with the load generator"
    table = Table(title=title, title_justify="left", show_lines=True)
    for heading in ("figure", "layout", "result", "beside, in the same run", "also", "load"):
        table.add_column(heading, overflow="fold")
    for one in figures:
        table.add_row(
            one.name,
            one.layout,
            f"[bold]{_short(one.value)}[/] {one.unit}",
            f"{one.beside}: {_short(one.beside_value)} {one.unit}",
            "\n".join(f"{name}: {_short(value)}" for name, value in one.details.items()),
            f"{one.nodes} {one.load}, {one.load_cores:.2f} cores;"
            f" system load {one.system_load:.1f}",
        )
    _print(table)


def _print(table: Table) -> None:
    console = Console()
    Console(width=max(_LEAST_WIDTH, console.width)).print(table)


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
