from datetime import timedelta

import msgspec
import pytest

from cloud.core.core_configuration import CoreConfiguration, LogLevel, checked_core
from cloud.errors import Invalid


def test_the_usual_core_is_as_baetyl_has_it() -> None:
    core = checked_core(CoreConfiguration())
    assert core.report_every == timedelta(seconds=20)
    assert (core.apiport, core.agentport) == (30050, 30080)
    assert (core.log_level, core.byte_unit, core.speed_limit) == (LogLevel.DEBUG, "KB", 0)
    assert msgspec.json.encode(core) == b"{}"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("frequency", 0),
        ("frequency", 301),
        ("apiport", 1023),
        ("apiport", 65536),
        ("agentport", 1023),
        ("agentport", 30050),
        ("byteUnit", "GB"),
        ("speedLimit", -1),
        ("version", "v1 && reboot"),
        ("version", "v" * 129),
    ],
)
def test_what_no_agent_can_work_with_is_refused(field: str, value: object) -> None:
    with pytest.raises(Invalid) as caught:
        checked_core(msgspec.convert({field: value}, CoreConfiguration))
    assert caught.value.field == field


@pytest.mark.parametrize("frequency", [1, 300])
def test_the_limits_themselves_are_taken(frequency: int) -> None:
    core = CoreConfiguration(frequency=frequency, apiport=1024, agentport=65535, version="v2.4.3")
    assert checked_core(core) == core
