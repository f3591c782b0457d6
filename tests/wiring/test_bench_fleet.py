"""The benchmark of a fleet runs through, everywhere it can, and prints all its figures."""

import json
from typing import Any, ClassVar

import click
import pytest
from click.testing import CliRunner

from broker.messages import Encoding, Message, decode_message, encode_message
from edgesync.bench.clients import merged
from edgesync.bench.figures import Figure, compared, print_comparison
from edgesync.bench.fleet import OTHERS, command, measurable
from edgesync.bench.light_node import Flood, report_content
from edgesync.bench.open_files import SPARE_FILES, allow_connections, most_files
from edgesync.bench.site import Layout
from tests.broker.mosquitto import NEEDS_MOSQUITTO
from tests.postgres import NEEDS_POSTGRES

TINY = ["--nodes", "3", "--seconds", "0.3", "--full-nodes", "1", "--interval", "1", "--json"]
FIGURES = [
    "activations with CSR",
    "memory of the server for an idle node",
    "PUT of an app until 99 % of the nodes report it",
    "activation to first app running",
    "reports answered, each after its commit",
    "nodes back and reconciled after kill -9",
]


def figures(*options: str) -> tuple[list[dict[str, Any]], list[str]]:
    found = content_of(*options)
    return found["figures"], found["skipped"]


def content_of(*options: str) -> dict[str, Any]:
    result = CliRunner().invoke(command, [*TINY, *options], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    assert found["machine"]["cores"] > 0
    return found


def check(found: list[dict[str, Any]], layout: Layout) -> None:
    assert [one["name"] for one in found] == FIGURES
    for one in found:
        assert one["layout"] == str(layout)
        assert one["value"] > 0, one
        assert one["beside_value"] > 0, one
        assert one["unit"]
        assert one["load_cores"] >= 0
        assert one["nodes"] == (1 if "first app" in one["name"] else 3)
    details = {one["name"]: one["details"] for one in found}
    assert details[FIGURES[4]]["never answered"] == 0
    assert details[FIGURES[2]]["50 % s"] <= found[2]["value"]
    storm = details[FIGURES[5]]
    # Nodes may be back with the first server while the second one still starts.
    assert min(storm["of which restart s"], storm["all back s"]) > 0
    # A pause between attempts is at least 1 s, and at most twice the time that the server was away.
    restart = storm["of which restart s"]
    assert restart + 1 <= storm["all tried again s"] <= 3 * restart + 1
    assert storm["API calls"] > 0
    assert 0 < storm["API p50 ms"] <= storm["API p99 ms"]


@pytest.mark.timeout(360)
def test_every_figure_is_measured_on_one_server() -> None:
    found = content_of("--no-others", "--compare")
    check(found["figures"], Layout())
    assert found["skipped"] == []
    rows = {row["name"]: row for row in found["compared"]}
    assert set(FIGURES) < set(rows)
    assert {ratio for row in rows.values() for ratio in row["ratios"].values()} == {1.0}


def figure_of(layout: Layout, value: float, **details: float) -> Figure:
    return Figure(
        name="reports",
        layout=str(layout),
        value=value,
        unit="/s",
        beside="rows",
        beside_value=1.0,
        nodes=1,
        load="light nodes",
        load_cores=0.1,
        details=details,
        system_load=0.1,
    )


def test_layouts_are_compared_with_the_embedded_one_of_the_same_run(
    capsys: pytest.CaptureFixture[str],
) -> None:
    embedded, large = Layout(), Layout("mosquitto", "postgresql")
    found = [figure_of(large, 500.0, cpu=90.0), figure_of(embedded, 1000.0, cpu=60.0)]
    reports, cpu = compared(found, str(embedded), ("cpu", "other"))
    assert (reports.name, reports.unit) == ("reports", "/s")
    assert reports.ratios == {str(embedded): 1.0, str(large): 0.5}
    assert cpu.values == {str(embedded): 60.0, str(large): 90.0}
    assert cpu.ratios[str(large)] == 1.5
    print_comparison([reports, cpu], str(embedded))
    printed = capsys.readouterr().out
    assert "0.50 times" in printed
    assert "1.50 times" in printed
    alone = compared([figure_of(large, 500.0)], str(embedded))
    assert [(row.values, row.ratios) for row in alone] == [({str(large): 500.0}, {})]


class TestFleet:
    pytestmark: ClassVar = [*NEEDS_MOSQUITTO, *NEEDS_POSTGRES]

    @pytest.mark.timeout(480)
    def test_every_figure_is_measured_on_two_servers_and_a_broker(self) -> None:
        options = ("--broker", "mosquitto", "--database", "postgresql", "--servers", "2")
        found, skipped = figures(*options, "--no-others")
        check(found, Layout("mosquitto", "postgresql", 2))
        assert skipped == []


def test_reports_are_measured_on_other_layouts_or_skipped_with_a_reason() -> None:
    layouts, skipped = measurable(OTHERS, path="")
    assert layouts == [Layout()]
    assert len(skipped) == len(OTHERS) - 1
    assert all(reason.endswith("mosquitto is not installed") for reason in skipped)
    assert measurable([Layout(database="postgresql")], path="") == (
        [],
        ["embedded hub, PostgreSQL, 1 server: PostgreSQL is not installed"],
    )


def test_more_than_one_broker_needs_mosquitto() -> None:
    result = CliRunner().invoke(command, ["--brokers", "2"])
    assert result.exit_code == 2
    assert "--broker mosquitto" in result.output


class TestBrokers:
    pytestmark: ClassVar = NEEDS_MOSQUITTO

    def test_seeded_nodes_connect_to_several(self) -> None:
        found, skipped = figures(
            "--seeded", "--no-others", "--broker", "mosquitto", "--brokers", "2"
        )
        assert {one["layout"] for one in found} == {str(Layout("mosquitto", brokers=2))}
        assert [one["name"] for one in found] == [FIGURES[1], FIGURES[2]]
        assert skipped == []
        memory, update = (one["details"] for one in found)
        assert {"server MB in all", "load generator kB/node", "machine kB/node"} < set(memory)
        assert memory["connected and reconciled, nodes/s"] > 0
        assert 0 < found[1]["value"] <= update["last s"]


def test_processes_of_nodes_answer_as_one() -> None:
    answers = [
        {"times": [1.0, 3.0], "seconds": 2.0, "cores": 0.5},
        {"times": [2.0], "seconds": 1.0, "cores": 0.25},
    ]
    assert merged(answers) == {"times": [1.0, 2.0, 3.0], "seconds": 2.0, "cores": 0.75}


def test_connections_beyond_the_limit_of_open_files_are_refused_by_name() -> None:
    allow_connections(1, "the server")
    with pytest.raises(click.ClickException, match=r"^Mosquitto needs \d+ open files .* raise it"):
        allow_connections(most_files() - SPARE_FILES + 1, "Mosquitto")


def test_more_nodes_than_can_be_activated_soon_have_to_be_seeded() -> None:
    result = CliRunner().invoke(command, ["--nodes", "10001"])
    assert result.exit_code == 2
    assert "--seeded" in result.output


def test_servers_that_cannot_be_alike_are_refused() -> None:
    result = CliRunner().invoke(command, ["--servers", "2"])
    assert result.exit_code == 2
    assert "--broker mosquitto" in result.output


def test_a_report_has_the_size_that_is_asked_for() -> None:
    content = report_content("n", {"bench": "1"}, 2000)
    size = len(encode_message(Message("report", content), Encoding.MSGPACK))
    assert 1850 <= size <= 2100


def test_no_two_reports_of_a_flood_are_equal() -> None:
    flood = Flood("default.n", "run", report_content("n", {"bench": "1"}, 400), window=2)
    packets = [flood.more(1, number) for number in (7, 8)]
    messages = [decode_message(packet[packet.index(b"\x83\xa4kind") :]) for packet in packets]
    assert [message.meta["seq"] for message in messages] == [7, 8]
    first, second = (message.content["nodestats"]["usage"] for message in messages)
    assert first["memory"] != second["memory"]
    assert flood.sent == 2
