"""What is asked for next; `test_device` shows how that ends."""

from typing import Any

from agent_sim.fetching import (
    BATCH,
    AppFetch,
    WantedApp,
    absorb,
    all_missing,
    fail,
    fetches_for,
    next_infos,
)
from agent_sim.model import BodyKind, BodyName, HeldApp, Part

CONF = BodyName(BodyKind.CONFIGURATION, "c", "2")
BODY = {
    "name": "a",
    "version": "1",
    "volumes": [{"name": "v", "config": {"name": "c", "version": "2"}}],
}
CONF_BODY = {"name": "c", "version": "2", "data": {}}


def application(name: str, version: str = "1") -> BodyName:
    return BodyName(BodyKind.APPLICATION, name, version)


def test_only_what_is_not_held_is_fetched() -> None:
    held = {"a": HeldApp("a", "1", {}), "b": HeldApp("b", "1", {})}
    wanted = (WantedApp("a", "1"), WantedApp("b", "2"), WantedApp("c", "1"))
    fetches = fetches_for(wanted, held, ())
    assert [fetch.wanted.name for fetch in fetches] == ["b", "c"]


def test_a_fetch_that_goes_on_keeps_what_it_has_and_forgets_why_it_rested() -> None:
    resting = AppFetch(WantedApp("a", "1"), BODY, cause="not found")
    assert resting.missing == ()
    [fetch] = fetches_for((WantedApp("a", "1"),), {}, (resting,))
    assert fetch == AppFetch(WantedApp("a", "1"), BODY)
    assert fetch.missing == (CONF,)


def test_a_body_comes_before_its_parts_and_all_of_them_make_it_whole() -> None:
    fetches: tuple[AppFetch, ...] = (AppFetch(WantedApp("a", "1")),)
    assert next_infos(fetches, frozenset()) == (application("a"),)
    fetches = absorb(fetches, application("a"), BODY)
    assert next_infos(fetches, frozenset()) == (CONF,)
    [whole] = absorb(fetches, CONF, CONF_BODY)
    assert whole.is_complete
    assert whole.parts == (Part(CONF, CONF_BODY),)


def test_what_several_need_is_asked_for_once() -> None:
    fetches = tuple(AppFetch(WantedApp(name, "1"), BODY) for name in "ab")
    assert all_missing(fetches) == (CONF,)
    assert all(fetch.is_complete for fetch in absorb(fetches, CONF, CONF_BODY))


def test_a_request_has_its_limit() -> None:
    fetches = tuple(AppFetch(WantedApp(str(number), "1")) for number in range(BATCH + 1))
    assert len(next_infos(fetches, frozenset())) == BATCH


def test_suspects_are_asked_for_last_and_alone() -> None:
    fetches = tuple(AppFetch(WantedApp(name, "1")) for name in "abc")
    suspects = frozenset({application("a"), application("b")})
    assert next_infos(fetches, suspects) == (application("c"),)
    assert next_infos(fetches[:2], suspects) == (application("a"),)


def test_another_version_or_name_or_nothing_ends_the_fetch() -> None:
    values: tuple[Any, ...] = ({**BODY, "version": "2"}, {**BODY, "name": "b"}, None, [])
    for value in values:
        assert absorb((AppFetch(WantedApp("a", "1")),), application("a"), value) == ()


def test_a_failure_rests_only_what_waits_for_it() -> None:
    fetches = (AppFetch(WantedApp("a", "1"), BODY), AppFetch(WantedApp("b", "1")))
    resting, other = fail(fetches, (CONF,), "gone")
    assert (resting.cause, other.cause) == ("gone", "")
    assert not resting.is_complete
