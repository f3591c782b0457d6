"""The costs of a fleet: five figures of one server or several, each beside another of the same run.

Everything is real and started here: servers, broker and database as processes, nodes with
certificates they were given by activation, connected over TLS from a process of their own. What is
measured, and what limits it: docs/performance.md.
"""

import math
import signal
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from broker.limits import MAX_BROKERS
from edgesync.bench.figures import Figure, as_json, compared, print_comparison, print_table
from edgesync.bench.fleet_bench import CPU_OF_REPORT, FleetBench, Sizes
from edgesync.bench.open_files import allow_connections
from edgesync.bench.site import Layout, open_site, search_path

MAX_NODES = 50_000
MAX_ACTIVATED = 10_000
"""Nodes that are activated; beyond, activations alone take minutes."""

MAX_SERVERS = 4

OTHERS = (
    Layout(),
    Layout("managed"),
    Layout("mosquitto"),
    Layout("mosquitto", "postgresql"),
    Layout("mosquitto", "postgresql", 2),
)
"""Where reports are measured too."""


def measurable(wanted: Sequence[Layout], path: str) -> tuple[list[Layout], list[str]]:
    """Those of *wanted* for which all is installed, and why the others are not among them."""
    lacks = {one: one.missing(path) for one in wanted}
    return (
        [one for one in wanted if not lacks[one]],
        [f"{one}: {lacks[one]} is not installed" for one in wanted if lacks[one]],
    )


def main(
    layout: Layout,
    sizes: Sizes,
    *,
    others: Sequence[Layout],
    log: Callable[[str], None],
    only_reports: bool = True,
) -> tuple[list[Figure], list[str]]:
    """Measure *layout*, and *others*; the figures, and what could not be measured.

    Of the others *only_reports*, or everything.
    """
    figures: list[Figure] = []
    layouts, skipped = measurable([layout, *others], search_path())
    for reason in skipped:
        log(f"skipped: {reason}")
    for one in layouts:
        allow_connections(math.ceil(sizes.nodes / one.brokers), one.what_nodes_connect_to)
        log(f"{one}: {sizes.nodes} nodes")
        with (
            tempfile.TemporaryDirectory(prefix="edgesync-bench-") as name,
            open_site(one, Path(name), sizes.nodes, seeded=sizes.seeded) as site,
            FleetBench(site, sizes, log) as bench,
        ):
            is_whole = one == layout or not only_reports
            if sizes.seeded:
                bench.measure_connections()
            else:
                (bench.measure_all if is_whole else bench.measure_reports)()
            figures += bench.figures
    return figures, skipped


@click.command()
@click.option(
    "--broker",
    type=click.Choice(["embedded", "managed", "mosquitto"]),
    default="embedded",
    show_default=True,
)
@click.option(
    "--database", type=click.Choice(["sqlite", "postgresql"]), default="sqlite", show_default=True
)
@click.option(
    "--brokers",
    type=click.IntRange(1, MAX_BROKERS),
    default=1,
    show_default=True,
    help="Mosquittos that do not know of each other, with --broker mosquitto.",
)
@click.option("--servers", type=click.IntRange(1, MAX_SERVERS), default=1, show_default=True)
@click.option("--nodes", type=click.IntRange(1, MAX_NODES), default=200, show_default=True)
@click.option("--seconds", type=click.FloatRange(0.2, 60), default=3, show_default=True)
@click.option(
    "--window",
    type=click.IntRange(1, 64),
    default=4,
    show_default=True,
    help="Reports that a node has under way at the same time.",
)
@click.option("--report-bytes", type=click.IntRange(400, 64_000), default=2000, show_default=True)
@click.option(
    "--interval",
    type=click.FloatRange(0.1, 3600),
    default=20,
    show_default=True,
    help="Seconds after which a node that waits for an update reports again.",
)
@click.option("--parallel", type=click.IntRange(1, 256), default=16, show_default=True)
@click.option("--full-nodes", type=click.IntRange(1, 100), default=5, show_default=True)
@click.option(
    "--seeded",
    is_flag=True,
    help="Put the nodes into the database instead of activating them, and measure connections,"
    " memory and an update alone.",
)
@click.option(
    "--others/--no-others",
    default=True,
    show_default=True,
    help="Measure reports on other brokers and databases, too.",
)
@click.option(
    "--compare",
    is_flag=True,
    help="Measure everything on each layout, and compare them with the embedded hub on SQLite.",
)
@click.option("--json", "as_json_", is_flag=True, help="Print the figures as JSON.")
def command(
    *,
    broker: str,
    database: str,
    brokers: int,
    servers: int,
    others: bool,
    compare: bool,
    as_json_: bool,
    **sizes: Any,
) -> None:
    """Benchmark a fleet of nodes: reconnects, updates, activations, memory, reports.

    Starts what it needs on free ports of this machine, and removes it again.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # end what was started, too
    layout = Layout(broker, database, servers, brokers)
    if brokers > 1 and broker != "mosquitto":
        raise click.UsageError("more than one broker needs --broker mosquitto")
    if sizes["nodes"] > MAX_ACTIVATED and not sizes["seeded"]:
        raise click.UsageError(f"more than {MAX_ACTIVATED} nodes need --seeded")
    if servers > 1 and (broker, database) != ("mosquitto", "postgresql"):
        raise click.UsageError("more than one server needs --broker mosquitto, and postgresql")
    embedded = Layout()
    wanted = [*OTHERS] if others else [embedded] if compare else []
    figures, skipped = main(
        layout,
        Sizes(**sizes),
        others=[one for one in wanted if one != layout],
        log=lambda text: click.echo(text, err=True),
        only_reports=not compare,
    )
    rows = compared(figures, str(embedded), (CPU_OF_REPORT,)) if compare else []
    if as_json_:
        click.echo(as_json(figures, skipped, rows))
    else:
        print_table(figures)
        if compare:
            print_comparison(rows, str(embedded))
    if not figures:
        raise click.ClickException("nothing could be measured")
