from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from cloud.core.audit import (
    ADMINISTRATOR,
    TEXT_LIMIT,
    Action,
    Actor,
    ActorKind,
    Anchor,
    Attempt,
    Chain,
    ChainedEntry,
    Entry,
    Head,
    Verdict,
    canonical,
    clean,
    verify,
)

CHAIN = Chain(b"a key")
NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
START = CHAIN.anchor(Head())

texts = st.text(max_size=8)
actors = st.builds(Actor, st.sampled_from(ActorKind), texts, texts)
attempts = st.builds(
    Attempt,
    actors,
    st.sampled_from([action for action in Action if action is not Action.LOG_CUT]),
    st.datetimes(timezones=st.just(UTC)),
    texts,
    texts,
    texts,
    texts,
    texts,
)
entries = st.builds(Entry, attempts, texts, texts, texts, texts)


def log(*entries: Entry, chain: Chain = CHAIN, after: Head = START.head) -> list[ChainedEntry]:
    links: list[ChainedEntry] = []
    for entry in entries:
        links.append(chain.link(links[-1].head if links else after, entry))
    return links


def entry(name: str = "web", action: str = "app.update") -> Entry:
    return Entry(Attempt(ADMINISTRATOR, action, NOW, "default", name))


def verdict(
    links: list[ChainedEntry], whole: list[ChainedEntry], anchor: Anchor = START
) -> Verdict:
    """Of *links*, where the log was *whole* and its last head noted elsewhere."""
    head = whole[-1].head if whole else anchor.head
    return verify(CHAIN, anchor, links, head, noted=[head])


@given(st.lists(entries, max_size=6))
def test_what_was_written_is_found_right(written: list[Entry]) -> None:
    links = log(*written)
    found = verdict(links, links)
    assert (found.checked, found.broken, found.reason) == (len(links), 0, "")
    assert found.head == (links[-1].head if links else Head())


@given(st.lists(entries, min_size=1, max_size=5), entries, st.data())
def test_any_other_entry_in_a_place_is_found_there(
    written: list[Entry], other: Entry, data: st.DataObject
) -> None:
    links = log(*written)
    place = data.draw(st.integers(0, len(links) - 1))
    forged = [*links]
    forged[place] = replace(links[place], entry=other)
    if canonical(1, other) != canonical(1, written[place]):
        assert verdict(forged, links).broken == place + 1


@given(st.lists(entries, min_size=2, max_size=6, unique=True), st.data())
def test_what_is_taken_out_put_in_or_moved_is_found(
    written: list[Entry], data: st.DataObject
) -> None:
    links = log(*written)
    place = data.draw(st.integers(0, len(links) - 1))
    assert verdict([*links[:place], *links[place + 1 :]], links).broken == place + 1
    renumbered = [
        replace(link, number=number)
        for number, link in enumerate([*links[:place], *links[place + 1 :]], start=1)
    ]
    assert verdict(renumbered, links).broken == place + 1
    twice = [
        replace(link, number=number)
        for number, link in enumerate([*links[: place + 1], *links[place:]], start=1)
    ]
    assert verdict(twice, links).broken == place + 2
    turned = [replace(link, number=number) for number, link in enumerate(reversed(links), start=1)]
    assert verdict(turned, links).broken == 1


def test_a_chain_made_with_another_key_is_found() -> None:
    links = log(entry("a"), entry("b"), chain=Chain(b"another key"))
    assert verdict(links, links).broken == 1


def test_what_is_missing_at_the_end_shows_against_what_was_noted() -> None:
    links = log(entry("a"), entry("b"), entry("c"))
    cut, head = links[:1], links[0].head
    assert verify(CHAIN, START, cut, head).broken == 0
    found = verify(CHAIN, START, cut, head, noted=[links[2].head])
    assert (found.broken, found.head) == (2, head)
    assert "up to entry 3" in found.reason
    assert verify(CHAIN, START, cut, links[2].head).broken == 2
    emptied = verify(CHAIN, START, [], Head(), noted=[links[2].head])
    assert emptied.broken == 1


def test_another_log_of_the_same_length_is_found() -> None:
    links, others = log(entry("a"), entry("b")), log(entry("a"), entry("c"))
    assert verify(CHAIN, START, others, others[-1].head).broken == 0
    found = verify(CHAIN, START, others, others[-1].head, noted=[links[-1].head])
    assert found.broken == 2


def test_a_head_that_is_not_the_end_is_found() -> None:
    links = log(entry("a"), entry("b"))
    assert verify(CHAIN, START, links, links[0].head).broken == 2


def test_a_log_may_begin_after_the_entries_the_key_knows_as_deleted() -> None:
    links = log(entry("a"), entry("b"), entry("c"))
    gone = CHAIN.anchor(links[0].head)
    assert verdict(links[1:], links, gone).checked == 2
    assert verdict(links, links, gone).broken == 1
    forged = Anchor(links[1].head, gone.seal)
    assert verdict(links[2:], links, forged).broken == 3
    assert "beginning" in verdict(links[2:], links, forged).reason


def test_an_entry_about_missing_ones_counts_until_it_is_known() -> None:
    links = log(entry("a"), entry(action=Action.LOG_CUT), entry("b"))
    assert verdict(links, links).broken == 2
    head = links[-1].head
    assert verify(CHAIN, START, links, head, known_cuts=frozenset({2})).broken == 0
    assert verify(CHAIN, START, links, head, known_cuts=frozenset({1})).broken == 2


def test_the_same_moment_is_the_same_in_every_time_zone() -> None:
    zone = NOW.astimezone(tz=None)
    other = replace(entry(), attempt=replace(entry().attempt, time=zone))
    assert canonical(1, entry()) == canonical(1, other)
    later = replace(entry().attempt, time=NOW + timedelta(microseconds=1))
    assert canonical(1, entry()) != canonical(1, replace(entry(), attempt=later))


def test_the_bytes_of_an_entry_stay_as_they_are() -> None:
    """A log is verified by later versions too."""
    whole = Entry(
        Attempt(
            Actor(ActorKind.TOKEN, "ci", "shop"),
            "app.update",
            NOW,
            "shop",
            "web",
            "192.0.2.7",
            "a-request-id",
            "because",
        ),
        "done",
        '{"a":1}',
        '{"a":2}',
        '{"app":2}',
    )
    assert canonical(7, whole) == (
        b'[7,"2026-01-02T03:04:05.678901+00:00","token","ci","shop","app.update","shop","web",'
        b'"192.0.2.7","a-request-id","because","done","{\\"a\\":1}","{\\"a\\":2}","{\\"app\\":2}"]'
    )
    code = "4744781c012bbaec9a93b0338e224fb4e327f9701be64cf8d0559954ae75ae00"
    assert Chain(bytes(32)).link(Head(6, "code"), whole).code == code


@given(st.text(max_size=2 * TEXT_LIMIT))
def test_what_others_chose_is_one_short_line(text: str) -> None:
    shown = clean(text)
    assert len(shown) <= TEXT_LIMIT
    assert shown.isprintable()
    assert clean(shown) == shown
    if text.isprintable() and len(text) <= TEXT_LIMIT:
        assert shown == text
