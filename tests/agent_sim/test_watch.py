"""A fleet whose clocks are wrong finds out what time it is."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent_sim.errors import ActivationUnanswered
from agent_sim.state import read_ca
from agent_sim.watch import ClockError, MachineClock, utc_now
from certs.authority import Authority

NOW = datetime(2026, 6, 1, tzinfo=UTC)
CERTIFICATE = {"notBefore": "Jan  1 00:00:00 2026 GMT", "notAfter": "Jan  1 00:00:00 2027 GMT"}


@pytest.fixture
def ca(tmp_path: Path) -> Path:
    authority, _ = Authority.create("test", now=NOW, serials=(1, 2))
    path = tmp_path / "ca.pem"
    path.write_text(authority.root_pem)
    return path


def watch_at(ca: Path, now: datetime) -> MachineClock:
    return MachineClock("https://127.0.0.1:9", read_ca(ca), lambda: now)


@pytest.mark.parametrize("year", [1970, 2025, 2028, 2040])
def test_dates_are_looked_at_by_the_servers_time_once_it_is_known(ca: Path, year: int) -> None:
    watch = watch_at(ca, datetime(year, 6, 1, tzinfo=UTC))
    with pytest.raises(ClockError):
        watch.check(CERTIFICATE)
    assert watch.is_doubtful
    watch.skew = NOW - watch.read()
    watch.check(CERTIFICATE)
    watch.skew += timedelta(days=365)
    with pytest.raises(ClockError):
        watch.check(CERTIFICATE)


def test_a_right_clock_is_left_alone(ca: Path) -> None:
    watch = watch_at(ca, NOW)
    watch.check(CERTIFICATE)
    assert not watch.is_doubtful
    assert watch.now() == NOW


async def test_an_absent_server_gives_no_time(ca: Path) -> None:
    watch = watch_at(ca, NOW)
    with pytest.raises(ActivationUnanswered, match="what time it is"):
        await watch.learn()
    assert watch.skew == timedelta()
    assert abs(utc_now() - datetime.now(UTC)) < timedelta(minutes=1)
