from datetime import UTC, datetime

import msgspec
import pytest

from cloud.core.registry import SIZE_LIMIT, Registry, RegistrySpec, checked_registry_spec
from tests.core.refusals import field_refused

SPEC = RegistrySpec("hub.example.com", "puller", "open sesame")
NOW = datetime(2026, 1, 2, tzinfo=UTC)


def test_a_registry_has_address_user_and_password() -> None:
    assert checked_registry_spec(SPEC) == SPEC


@pytest.mark.parametrize("field", ["address", "username", "password"])
@pytest.mark.parametrize("value", ["", " \t"])
def test_what_is_needed_to_pull_is_there(field: str, value: str) -> None:
    spec = msgspec.structs.replace(SPEC, **{field: value})
    assert field_refused(checked_registry_spec, spec) == field


def test_a_registry_has_a_limit_in_bytes() -> None:
    spec = msgspec.structs.replace(SPEC, password="x" * SIZE_LIMIT)
    assert field_refused(checked_registry_spec, spec) == ""


def test_nothing_printed_shows_the_password() -> None:
    registry = Registry("default", "hub", SPEC, "1", NOW, NOW)
    for shown in (repr(SPEC), str(SPEC), repr(registry), f"{registry}"):
        assert "sesame" not in shown
