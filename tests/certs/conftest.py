"""An authority in memory and on disk."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from certs.authority import Authority
from certs.files import load_or_create_authority

NOW = datetime.now(UTC)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "ca"


@pytest.fixture
def authority(directory: Path) -> Authority:
    return load_or_create_authority(directory, now=NOW)
