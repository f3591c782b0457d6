"""The tree speaks the field's language: no idioms, no old names, prose at 120 columns.

Help texts, the OpenAPI document and log lines are made from the sources, which are checked here.
"""

import re
from pathlib import Path

from tests.repo.tracked import ROOT, relative, text_of, tracked_files

IDIOMS = {
    "told": "sent, reported",
    "nobody": "no client, no user",
    "somebody": "a user, a client",
    "whoever": "the user who, a client that",
    "said": "reported, sent, named",
    "say": "report, name, return whether",
    "says": "reports, names, has",
    "put aside": "hold",
    "puts aside": "holds",
    "set aside": "hold, reserve",
}
"""Words that let things speak, or people be riddles, with the field's terms for them."""

OLD_NAMES = {
    "Told": "ReportReply",
    "Watched": "ChangeTracker",
    "Rehearsed": "DryRunComplete",
    "rehearse": "dry_run",
    "Standing": "NodeStatus",
    "Pace": "ReportCadence",
    "Guesses": "FailedAttemptLimiter",
    "Gathering": "GroupCommit",
    "Wakes": "Notifier",
    "Outlet": "WriteBuffer",
    "Roster": "ConnectionRegistry",
    "Arrivals": "HandshakeLimiter",
    "NotLetIn": "ActivationDenied",
    "Costly": "CountCache",
    "put_down": "record_audit",
    "write_apart": "write_concurrent",
    "foresee": "prefetch_reporters",
    "set_said": "set_error_context",
    "set_stale_aside": "hold_pending",
}
"""Names that were replaced, with what replaced them."""

ALLOWED = {
    "toldTime": "a field of the API",
    "told_time": "the same in the type of the answer",
    "NotTold": "a published reason",
    '"told"': "the name in stored deploys",
    "said_interval": "a column",
    "said_intervals": "a migration",
    "SAID_INTERVALS": "the same",
}
"""What is published or stored under an old word."""

EXEMPT = re.compile(
    r"^(tests/golden/|requirements/|tests/repo/test_words\.py|LICENSE"
    r"|cloud/rest/.*static/vendor/)"
)

COLUMNS = 120
VERBATIM = {"docs/protocol.md", "docs/tour.md"}
"""Pages whose blocks are bytes on the wire, and output that a test compares."""


def _alternatives(words: dict[str, str]) -> str:
    return "|".join(sorted(map(re.escape, words), key=len, reverse=True))


# A word also begins and ends at an underscore.
IDIOM = re.compile(rf"(?<![a-z])(?:{_alternatives(IDIOMS)})(?![a-z])", re.IGNORECASE)
OLD_NAME = re.compile(rf"\b(?:{_alternatives(OLD_NAMES)})\b")
PERMITTED = re.compile(_alternatives(ALLOWED))


def complaints(text: str, *, is_python: bool) -> list[str]:
    """Each line with a word of the lists, and what to write instead."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        rest = PERMITTED.sub("", line)
        named = [(word, IDIOMS[word.lower()]) for word in IDIOM.findall(rest)]
        if is_python:
            named += [(word, OLD_NAMES[word]) for word in OLD_NAME.findall(rest)]
        found += [f"{number}: {word!r} ({instead}): {line.strip()}" for word, instead in named]
    return found


def wide_lines(text: str, *, is_verbatim: bool) -> list[int]:
    """Numbers of lines beyond COLUMNS; rows of tables and links to pictures cannot be broken."""
    wide, is_block = [], False
    for number, line in enumerate(text.splitlines(), 1):
        is_fence = line.lstrip().startswith("```")
        is_block ^= is_fence
        is_exempt = line.lstrip().startswith(("|", "!", "[![")) or (is_block and is_verbatim)
        if len(line) > COLUMNS and not is_exempt:
            wide.append(number)
    return wide


def _checked() -> list[Path]:
    return [path for path in tracked_files() if not EXEMPT.match(relative(path))]


def test_every_text_uses_the_terms_of_the_field() -> None:
    found = {
        relative(path): lines
        for path in _checked()
        if (lines := complaints(text_of(path), is_python=path.suffix == ".py"))
    }
    assert found == {}


def test_prose_is_at_most_120_columns_wide() -> None:
    pages = [path for path in _checked() if path.suffix == ".md"]
    found = {
        relative(page): lines
        for page in pages
        if (lines := wide_lines(text_of(page), is_verbatim=relative(page) in VERBATIM))
    }
    assert pages
    assert found == {}


def test_a_word_of_the_list_is_found_in_text_and_names() -> None:
    found = complaints("what nodes were told\nself.said = 1\nis_told\nNobody\n", is_python=True)
    assert [one.partition(":")[0] for one in found] == ["1", "2", "3", "4"]
    assert complaints("class Roster:\n", is_python=True)
    assert not complaints("toldTime, said_interval, essay, sayings, a saying\n", is_python=True)


def test_a_wide_line_is_found_outside_of_tables_and_verbatim_blocks() -> None:
    wide = "x" * (COLUMNS + 1)
    page = f"{wide}\n| {wide} |\n```\n{wide}\n```\n"
    assert wide_lines(page, is_verbatim=True) == [1]
    assert wide_lines(page, is_verbatim=False) == [1, 4]


def test_what_is_allowed_is_still_used() -> None:
    texts = [text_of(path) for path in tracked_files() if path != ROOT / relative(Path(__file__))]
    assert [word for word in ALLOWED if not any(word in text for text in texts)] == []
