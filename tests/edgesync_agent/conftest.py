"""Engines and a registry, each once for all tests of a process."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.edgesync_agent.engines import (
    ENGINES,
    RunningEngine,
    running_engine,
)
from tests.edgesync_agent.registry import RunningRegistry, running_registry


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRegistry]:
    with running_registry(tmp_path_factory.mktemp("registry") / "r") as running:
        yield running


@pytest.fixture(scope="session")
def engines(
    tmp_path_factory: pytest.TempPathFactory, registry: RunningRegistry
) -> Iterator[dict[str, RunningEngine]]:
    """Engines by kind, each started when it is asked for first."""

    class StartedInstance(dict[str, RunningEngine]):
        def __missing__(self, kind: str) -> RunningEngine:
            place = tmp_path_factory.mktemp(kind) / "e"
            self[kind] = stack.enter_context(running_engine(kind, place, registry))
            return self[kind]

    with ExitStack() as stack:
        yield StartedInstance()


@pytest.fixture(params=ENGINES)
def running(request: pytest.FixtureRequest, engines: dict[str, RunningEngine]) -> RunningEngine:
    """Every kind of engine."""
    return engines[request.param]
