"""What every test needs."""

import pytest
from hypothesis import settings

# Examples take as long as a busy machine needs; pytest's timeout ends what hangs.
settings.register_profile("edgesync", deadline=None)
settings.load_profile("edgesync")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
