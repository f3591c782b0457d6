"""The table of commands, and what importing one of them brings in."""

import subprocess
import sys

import click
import pytest

from edgesync.__main__ import BENCHES, COMMANDS, main


@pytest.mark.parametrize("name", [*COMMANDS, "bench"])
def test_every_command_of_the_table_is_there_under_its_name(name: str) -> None:
    command = main.get_command(click.Context(main), name)
    assert command is not None
    assert command.name == name
    assert command.get_short_help_str()


def test_every_benchmark_is_there() -> None:
    bench = main.get_command(click.Context(main), "bench")
    assert isinstance(bench, click.Group)
    for name in BENCHES:
        assert bench.get_command(click.Context(bench), name) is not None
    assert bench.get_command(click.Context(bench), "nothing") is None


def test_who_asks_a_server_need_not_wait_for_what_a_server_needs() -> None:
    code = (
        "import sys, edgesync.__main__ as m, click;"
        "m.main.get_command(click.Context(m.main), 'get');"
        "sys.exit(bool({'uvloop', 'starlette', 'amqtt', 'cloud.app'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
