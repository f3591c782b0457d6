"""The table of commands, and what importing one of them brings in."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

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


@pytest.mark.parametrize(
    ("group", "places"), [("", COMMANDS), ("bench", BENCHES)], ids=["edgesync", "bench"]
)
def test_the_help_in_the_table_is_that_of_the_commands(
    group: str, places: Mapping[str, tuple[str, str]]
) -> None:
    holder = main.get_command(click.Context(main), group) if group else main
    assert isinstance(holder, click.Group)
    for name, (_, text) in places.items():
        command = holder.get_command(click.Context(holder), name)
        assert command is not None
        assert text == command.get_short_help_str(200)


def test_serve_without_uvloop_names_the_systems_it_needs() -> None:
    code = "import sys; sys.modules['uvloop'] = None; from edgesync.__main__ import main; main()"
    ran = subprocess.run(
        [sys.executable, "-c", code, "serve"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (ran.returncode, ran.stderr) == (1, "Error: serve runs on Linux and macOS only\n")


def test_a_server_loads_at_its_start_what_each_server_needs() -> None:
    code = "import sys, edgesync.__main__, edgesync.admin.serve; print(*sys.modules)"
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    needed_by_some = {
        *("amqtt", "yaml", "psutil", "httpx", "nats", "botocore", "sqlite_utils", "psycopg"),
        *("broker.client", "cloud.managed_hub", "edgesync.client.client"),
    }
    assert not needed_by_some & set(ran.stdout.split())


SERVER_PACKAGES = {
    *("uvloop", "uvicorn", "starlette", "amqtt", "paho", "cryptography", "sqlite_utils", "psutil"),
    *("cloud.app", "cloud.operations", "cloud.store", "cloud.rest", "cloud.link", "broker"),
}


@pytest.mark.parametrize(
    ("words", "more"),
    [
        (["--help"], {"httpx", "rich", "msgspec", "yaml", "cloud"}),
        (["get", "nodes"], {"httpx._main", "rich.console", "cloud.core.app"}),
        (["apply", "--help"], {"httpx._main", "rich.console"}),
        (["explain", "--help"], {"httpx._main", "rich.console"}),
    ],
)
def test_a_command_that_asks_a_server_loads_no_part_of_one(
    words: list[str], more: set[str], tmp_path: Path
) -> None:
    code = (
        "import atexit, sys; sys.argv[:] = ['edgesync', *sys.argv[1:]];"
        "atexit.register(lambda: print(*(k for k, v in sys.modules.items() if v), sep=chr(10)));"
        "from edgesync.__main__ import main; main()"
    )
    # A closed port: the call itself is made and lost.
    env = {**os.environ, "EDGESYNC_URL": "http://127.0.0.1:9", "EDGESYNC_TOKEN": "x"}
    env["EDGESYNC_CONTEXTS"] = str(tmp_path / "contexts.yaml")
    ran = subprocess.run(
        [sys.executable, "-c", code, *words],
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    loaded = set(ran.stdout.splitlines())
    assert "edgesync.lazy_group" in loaded, ran.stderr
    assert loaded & (SERVER_PACKAGES | more) == set()
