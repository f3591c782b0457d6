"""What every test needs."""

import faulthandler
import gc
import os
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from pytest_rerunfailures import ClientStatusDB, StatusDB

from cloud.store.postgres import open_postgres_store
from cloud.store.sealing import load_or_create_sealer
from cloud.store.transaction import NotifyingStore
from cloud.store.witness import load_or_create_witness
from tests.builders import open_store
from tests.postgres import NEEDS_POSTGRES, Postgres, running_postgres

StoreFactory = Callable[[Path], AbstractAsyncContextManager[NotifyingStore]]
"""Opens the store that is kept in a directory."""

# Tests, and the servers that they start, are compiled once and not in each process. Assertions in
# tests are rewritten, which is half of the time that collecting them takes.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# Examples take as long as a busy machine needs; pytest's timeout ends what hangs.
settings.register_profile("edgesync", deadline=None)
settings.register_profile("fast", deadline=None, max_examples=20)  # `make test-fast`
settings.load_profile("edgesync")


LONG_MODULES = (
    *("test_dist", "test_bench_fleet", "test_conformance", "test_demo_containers"),
    *("test_install_command", "test_host_apps", "test_servers", "test_pressure"),
    *("test_rollouts_over_both_links", "test_upgrade", "test_containers", "test_managed_broker"),
    *("test_killed_agent", "test_rootless", "test_supervisor", "test_running_apps", "test_events"),
    *("test_bench_agent", "test_backup", "test_power_cut", "test_full_disk", "test_rekeying"),
)
"""Modules that take longest, about in the order of how long."""


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Look for no garbage while tests are collected, and not in them and all modules later.

    And then more seldom than usual, which takes a seventh of the CPU of tests with properties.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.set_threshold(50_000, 20, 100)
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the modules that take longest, so that the last process does not work alone.

    The browser comes last: its library leaves an event loop that tests of asyncio cannot do with.
    """

    def place(item: pytest.Item) -> int:
        if item.get_closest_marker("chromium"):
            return len(LONG_MODULES) + 2
        if item.path.stem in LONG_MODULES:
            return LONG_MODULES.index(item.path.stem)
        has_mark = item.get_closest_marker("slow") or item.get_closest_marker("engine")
        return len(LONG_MODULES) + (0 if has_mark else 1)

    items.sort(key=place)


STDERR = pytest.StashKey[int]()
SECONDS_TO_END = 60
"""What a test has, its tear-down included, once pytest's timeout has failed it."""


class Crashes(StatusDB):
    """Tests that ended their process, in a file, where the plugin asks before each test.

    Its own way, over a socket, takes 1.3 ms of CPU and 40 ms of waiting (Nagle's algorithm).
    """

    def __init__(self, run: Path) -> None:
        super().__init__()
        self._file = run / "crashes"

    def get_test_failures(self, crashitem: str) -> int:
        return self._file.read_text().split("\n").count(crashitem) if self._file.exists() else 0

    def add_test_failure(self, crashitem: str) -> None:
        with self._file.open("a") as file:
            file.write(f"{crashitem}\n")


@pytest.hookimpl(optionalhook=True)
def pytest_handlecrashitem(crashitem: str, sched: Any) -> None:
    Crashes(sched.config._tmp_path_factory.getbasetemp()).add_test_failure(crashitem)


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Keep the standard error that is not captured, and look for crashes in the file."""
    config.stash[STDERR] = os.dup(sys.__stderr__.fileno() if sys.__stderr__ else 2)
    failures = getattr(config, "failures_db", None)
    if isinstance(failures, ClientStatusDB):
        failures.sock.close()
        # xdist gives each process a folder in that of the run.
        config.failures_db = Crashes(Path(config.option.basetemp).parent)  # type: ignore[attr-defined]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """End the process, with what each thread does, where pytest's timeout did not end a test.

    The timeout raises an exception, once: a tear-down that hangs and a call that never comes back
    from the C library go on. Other processes run the tests that are left.
    """
    marker = item.get_closest_marker("timeout")
    seconds = marker.args[0] if marker else float(item.config.getini("timeout"))
    stderr = item.config.stash[STDERR]
    faulthandler.dump_traceback_later(seconds + SECONDS_TO_END, file=stderr, exit=True)
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show why tests failed that passed when they were run once more."""
    for report in terminalreporter.getreports("rerun"):
        terminalreporter.write_sep("_", f"run again: {report.nodeid}")
        terminalreporter.write_line(report.longreprtext)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A cluster for all tests that have a database of their own in it."""
    with running_postgres() as running:
        yield running


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=NEEDS_POSTGRES)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[Path], str]]:
    """Where what belongs to a directory is kept: a URL, or "" for a file in the directory."""
    if request.param == "sqlite":
        yield lambda _directory: ""
        return
    postgres: Postgres = request.getfixturevalue("postgres")
    yield postgres.schemas.tables_of
    postgres.schemas.release(tmp_path)


@pytest.fixture
def open_again(
    request: pytest.FixtureRequest, database_url: Callable[[Path], str], tmp_path: Path
) -> StoreFactory:
    """Every kind of store."""
    if not database_url(tmp_path):
        return open_store
    return open_on(request.getfixturevalue("postgres"))


def open_on(postgres: Postgres) -> StoreFactory:
    """Opens stores on *postgres*, each in a schema of its own."""

    def open_there(directory: Path) -> AbstractAsyncContextManager[NotifyingStore]:
        sealer = load_or_create_sealer(directory / "secrets.key")
        witness = load_or_create_witness(directory)
        url = postgres.schemas.tables_of(directory)
        return open_postgres_store(url, sealer=sealer, witness=witness)

    return open_there
