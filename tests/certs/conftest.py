"""An authority in memory and on disk."""

from datetime import UTC, datetime, timedelta
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
    """One that is older than a node's certificate lasts, so that expired ones can be made."""
    return load_or_create_authority(directory, now=NOW - timedelta(days=200))
