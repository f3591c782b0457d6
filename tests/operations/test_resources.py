"""What is the same of kinds with versions."""

import pytest

from cloud.core.kinds import REGISTRY, SECRET
from cloud.core.mask import MASK
from cloud.core.registry import RegistrySpec
from cloud.core.secret import SecretSpec
from cloud.errors import Invalid
from cloud.operations.resources import with_kept_values

HUB = RegistrySpec("hub.example.com", "puller", "stored")


def test_a_masked_value_stands_for_the_one_that_is_stored() -> None:
    masked = RegistrySpec("hub.example.com", "other", MASK)
    assert with_kept_values(REGISTRY, masked, HUB) == RegistrySpec(
        "hub.example.com", "other", "stored"
    )
    given = SecretSpec({"a": MASK, "b": "new"}, "d")
    before = SecretSpec({"a": "1", "b": "2", "c": "3"})
    assert with_kept_values(SECRET, given, before) == SecretSpec({"a": "1", "b": "new"}, "d")


def test_what_is_not_masked_stays() -> None:
    assert with_kept_values(REGISTRY, HUB, None) == HUB
    assert with_kept_values(SECRET, SecretSpec({"a": ""}), None) == SecretSpec({"a": ""})


@pytest.mark.parametrize("before", [None, SecretSpec({"b": "2"})])
def test_a_masked_value_is_refused_where_none_is_stored(before: SecretSpec | None) -> None:
    with pytest.raises(Invalid) as caught:
        with_kept_values(SECRET, SecretSpec({"a": MASK}), before)
    assert caught.value.field == "data.a"
