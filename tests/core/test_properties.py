from datetime import timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.core.properties import (
    COUNT_LIMIT,
    KEY_LIMIT,
    NO_PROPERTIES,
    VALUE_LIMIT,
    Properties,
    checked_desire,
)
from cloud.errors import Invalid
from tests.core.strategies import START

pairs = st.dictionaries(st.sampled_from("abcd"), st.sampled_from("123"))


@given(st.lists(pairs, min_size=1, max_size=6))
def test_each_value_has_the_time_since_which_it_is_as_it_is(history: list[dict[str, str]]) -> None:
    properties = NO_PROPERTIES
    for step, pair in enumerate(history):
        now = START + timedelta(seconds=step)
        properties = properties.desiring(pair, now).reporting(pair, now)
    last = len(history) - 1
    for key, value in history[-1].items():
        since = last
        while since > 0 and history[since - 1].get(key) == value:
            since -= 1
        assert properties.desire_times[key] == START + timedelta(seconds=since)
    assert properties.desire == properties.report == history[-1]
    assert properties.report_times == properties.desire_times
    assert properties.desire_times.keys() == history[-1].keys()


@given(pairs)
def test_saying_the_same_again_changes_nothing(pair: dict[str, str]) -> None:
    later = START + timedelta(seconds=1)
    once = NO_PROPERTIES.desiring(pair, START).reporting(pair, START)
    assert once.desiring(dict(pair), later) is once
    assert once.reporting(dict(pair), later) is once


@given(pairs, pairs)
def test_what_is_kept_is_what_was_put(desire: dict[str, str], report: dict[str, str]) -> None:
    properties = NO_PROPERTIES.desiring(desire, START).reporting(report, START)
    assert msgspec.json.decode(msgspec.json.encode(properties), type=Properties) == properties


def test_what_can_be_wanted_has_limits() -> None:
    most = {"k" * KEY_LIMIT: "v" * VALUE_LIMIT, **{str(n): "" for n in range(COUNT_LIMIT - 1)}}
    assert checked_desire("state.desire", most) == most
    for wrong in ({**most, "one": "more"}, {"k" * (KEY_LIMIT + 1): ""}, {"": "1"}):
        with pytest.raises(Invalid) as caught:
            checked_desire("state.desire", wrong)
        assert caught.value.field == "state.desire"
    with pytest.raises(Invalid) as caught:
        checked_desire("state.desire", {"k": "v" * (VALUE_LIMIT + 1)})
    assert caught.value.field == "state.desire.k"
