"""What every test needs."""

from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.postgres import Postgres, running_postgres

# Examples take as long as a busy machine needs; pytest's timeout ends what hangs.
settings.register_profile("edgesync", deadline=None)
settings.load_profile("edgesync")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A cluster for all tests that have a database of their own in it."""
    with running_postgres() as running:
        yield running
