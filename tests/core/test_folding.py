"""Repeated events of a node are folded: none is lost from the count, others are left alone."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from cloud.core.event import Event
from cloud.core.folding import WINDOW, Fold, after_showing, fold, key_of

NOW = datetime(2026, 7, 1, tzinfo=UTC)
LIMIT = 3


def event(name: str = "n", kind: str = "node.failed", seconds: float = 0) -> Event:
    time = NOW + timedelta(seconds=seconds)
    return Event(kind, "default", kind.partition(".")[0], name, time, f"at {seconds}")


def test_the_first_ones_are_shown_at_once_and_others_become_one() -> None:
    events = [event(seconds=each) for each in range(10)]
    shown, folds = fold(events, {}, now=NOW, limit=LIMIT)
    assert shown == events[:LIMIT]
    [(key, one)] = folds.items()
    assert key == key_of(events[0])
    assert one.ends == NOW + WINDOW
    assert one.folded is not None
    assert (one.folded.count, one.folded.message) == (7, "at 9")
    assert one.folded.first_time == events[LIMIT].time


def test_one_that_was_folded_alone_is_as_it_was() -> None:
    events = [event(seconds=each) for each in range(LIMIT + 1)]
    _, folds = fold(events, {}, now=NOW, limit=LIMIT)
    assert folds[key_of(events[0])].folded == events[-1]


def test_nodes_and_types_do_not_count_for_each_other_and_people_not_at_all() -> None:
    events = [event(f"n{each}") for each in range(50)]
    events += [event(kind=kind) for kind in ("node.ready", "node.converged", "node.lost")]
    events += [event(kind="app.updated")] * 50 + [event(kind="node.updated")] * 50
    shown, _ = fold(events, {}, now=NOW, limit=1)
    assert shown == events


def test_without_a_limit_nothing_is_folded() -> None:
    events = [event()] * 500
    assert fold(events, {}, now=NOW, limit=0) == (events, {})


def test_after_a_fold_was_shown_all_is_folded_for_another_while() -> None:
    later = after_showing(Fold(NOW, LIMIT, event()), now=NOW, limit=LIMIT)
    shown, folds = fold([event()], {key_of(event()): later}, now=NOW, limit=LIMIT)
    assert shown == []
    assert folds[key_of(event())].folded == event()


def test_once_the_time_is_over_events_are_shown_again() -> None:
    quiet = Fold(NOW, LIMIT)
    shown, _ = fold([event()], {key_of(event()): quiet}, now=NOW, limit=LIMIT)
    assert shown == [event()]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 200)), max_size=60))
def test_no_event_is_lost_and_a_node_shows_few(steps: list[tuple[str, int]]) -> None:
    folds: dict[str, Fold] = {}
    emitted: list[Event] = []
    now = NOW
    for name, seconds in steps:
        now += timedelta(seconds=seconds)
        ended = [key for key, one in folds.items() if one.ends <= now]
        for key in ended:
            one = folds.pop(key)
            if one.folded:
                emitted.append(one.folded)
                folds[key] = after_showing(one, now=now, limit=LIMIT)
        shown, changed = fold([event(name)], folds, now=now, limit=LIMIT)
        emitted += shown
        folds |= changed
    waiting = [one.folded for one in folds.values() if one.folded]
    assert sum(one.count for one in emitted + waiting) == len(steps)
    minutes = (now - NOW) / WINDOW + 1
    for name in "abc":
        assert sum(one.name == name for one in emitted) <= (LIMIT + 1) * minutes
