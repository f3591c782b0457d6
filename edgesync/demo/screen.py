"""The fleet as a table."""

from collections.abc import Sequence

from rich.table import Table

from edgesync.demo.api import Row

SHOWN_NODES = 20


def fleet_table(title: str, rows: Sequence[Row], machine: str) -> Table:
    """*rows* below *title*; *machine* is the node that is no simulated one."""
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column("node", no_wrap=True, max_width=20)
    table.add_column("kind", no_wrap=True)
    for heading in ("ready", "app", "wanted", "running", "status"):
        table.add_column(heading, no_wrap=True)
    last = ""
    shown = sorted({row.node for row in rows})[:SHOWN_NODES]
    for row in rows:
        if row.node not in shown:
            continue
        color = "green" if row.is_converged else "yellow"
        name, ready = (row.node, "yes" if row.ready else "no") if row.node != last else ("", "")
        kind = "this machine" if row.node == machine else "simulated"
        table.add_row(
            name,
            kind if name else "",
            ready,
            row.app,
            row.wanted,
            f"[{color}]{row.running}[/]",
            f"[{color}]{row.status}[/]",
        )
        last = row.node
    more = len({row.node for row in rows}) - len(shown)
    if more > 0:
        table.add_row(f"... and {more} more nodes")
    return table
