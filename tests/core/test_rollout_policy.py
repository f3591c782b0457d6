"""Policies of rollouts: what they state, and what is refused."""

from datetime import UTC, datetime, timedelta

import pytest
from msgspec import convert

from cloud.core.durations import parse_duration
from cloud.core.rollout_policy import (
    REMAINDER,
    Amount,
    RolloutPolicy,
    RolloutPolicySpec,
    checked_policy_spec,
    governing,
    parse_amount,
)
from cloud.errors import Invalid

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def spec_of(**fields: object) -> RolloutPolicySpec:
    return convert({"apps": {"selector": "tier=till"}, **fields}, RolloutPolicySpec)


def policy(name: str, **apps: object) -> RolloutPolicy:
    return RolloutPolicy("default", name, spec_of(apps=apps), "1", NOON, NOON)


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("90s", timedelta(seconds=90)),
        ("1h30m", timedelta(minutes=90)),
        ("7d", timedelta(days=7)),
        ("0", timedelta()),
    ],
)
def test_durations_are_read(text: str, duration: timedelta) -> None:
    assert parse_duration("soak", text) == duration


@pytest.mark.parametrize("text", ["", "10", "m", "1m1h", "-1s", "400d", "1.5h"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_duration("soak", text)
    assert caught.value.field == "soak"


def test_amounts_are_counts_or_shares() -> None:
    assert parse_amount("limit", 5) == parse_amount("limit", "5") == Amount(5)
    assert parse_amount("limit", "10%") == Amount(10, is_share=True)
    assert Amount(10, is_share=True).at_most(19) == 1
    assert Amount(10, is_share=True).at_least(11) == 2
    assert Amount(5).at_most(2) == 5


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"apps": {}}, "apps"),
        ({"apps": {"selector": "a in"}}, "apps.selector"),
        ({"apps": {"names": ["web", "Web"]}}, "apps.names[1]"),
        ({"stages": [{"name": "a"}, {"name": "a"}]}, "stages[1].name"),
        ({"stages": [{"name": REMAINDER}]}, "stages[0].name"),
        ({"stages": [{"name": "a", "limit": "0%"}]}, "stages[0].limit"),
        ({"stages": [{"name": "a", "limit": "101%"}]}, "stages[0].limit"),
        ({"stages": [{"name": "a", "success": "most"}]}, "stages[0].success"),
        ({"stages": [{"name": "a", "soak": "soon"}]}, "stages[0].soak"),
        ({"stages": [{"name": "a", "selector": "=x"}]}, "stages[0].selector"),
        ({"stages": [{"name": f"s{number}"} for number in range(101)]}, "stages"),
        ({"budget": {"by": "a b"}}, "budget.by"),
        ({"budget": {"maxUnavailable": 0}}, "budget.maxUnavailable"),
        ({"failure": {"max": "-1"}}, "failure.max"),
        ({"deadline": "0s"}, "deadline"),
        ({"consent": {"latest": "later"}}, "consent.latest"),
        ({"windows": [{"schedule": "0 2 * * *", "duration": "0s"}]}, "windows[0].duration"),
        (
            {"windows": [{"schedule": "0 2 * * *", "duration": "1h", "timeZone": "Mars/Base"}]},
            "windows[0].timeZone",
        ),
    ],
)
def test_what_no_rollout_could_follow_is_refused(fields: dict[str, object], field: str) -> None:
    with pytest.raises(Invalid) as caught:
        checked_policy_spec(spec_of(**fields))
    assert caught.value.field == field


def test_a_stage_for_all_other_nodes_follows_unless_the_last_one_takes_them() -> None:
    assert [stage.name for stage in spec_of().all_stages] == [REMAINDER]
    limited = spec_of(stages=[{"name": "canary", "limit": 1}])
    assert [stage.name for stage in limited.all_stages] == ["canary", REMAINDER]
    whole = spec_of(stages=[{"name": "canary", "limit": 1}, {"name": "all"}])
    assert [stage.name for stage in whole.all_stages] == ["canary", "all"]


def test_a_policy_that_names_the_app_comes_before_those_that_select_it() -> None:
    policies = [
        policy("b", selector="tier"),
        policy("a", selector="tier"),
        policy("z", names=["web"]),
    ]
    found = governing(policies, "web", {"tier": "till"})
    assert found is not None
    assert found.name == "z"
    found = governing(policies, "db", {"tier": "till"})
    assert found is not None
    assert found.name == "a"
    assert governing(policies, "db", {}) is None


def test_a_budget_lets_at_least_one_node_be_unavailable() -> None:
    assert spec_of(budget={"by": "site", "maxUnavailable": "10%"}).budget.unavailable(3) == 1
    assert spec_of(budget={"by": "site", "maxUnavailable": "50%"}).budget.unavailable(5) == 2
