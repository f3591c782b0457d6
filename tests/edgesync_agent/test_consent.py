"""Answers of a machine's user to versions that are offered: the file, and the verb."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edgesync_agent.consent import CONSENT_FILE, ConsentFile, answer_from
from edgesync_agent.errors import AgentError
from edgesync_agent.summary import StateFile

UNTIL = "2026-11-28T18:00:00Z"


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def consent(tmp_path: Path, lines: list[str]) -> ConsentFile:
    return ConsentFile(tmp_path / CONSENT_FILE, lines.append)


def test_without_a_file_there_is_no_answer(consent: ConsentFile) -> None:
    assert not consent.has_changed()
    assert consent.answer("web", "8") == {}


def test_an_answer_is_for_an_app_at_a_version(consent: ConsentFile) -> None:
    deferred = {"answer": "deferred", "until": UNTIL, "reason": "machine in use"}
    given = {"web": {"version": "8", **deferred}, "db": {"answer": "accepted"}}
    consent.path.write_text(json.dumps(given))
    assert consent.has_changed()
    assert not consent.has_changed()
    assert consent.answer("web", "8") == deferred
    assert consent.answer("web", "9") == {}
    assert consent.answer("db", "1") == {"answer": "accepted"}
    assert consent.answer("other", "1") == {}


def test_a_star_stands_for_all_other_apps(consent: ConsentFile) -> None:
    given = {"*": {"answer": "accepted"}, "web": {"answer": "deferred", "until": UNTIL}}
    consent.path.write_text(json.dumps(given))
    consent.has_changed()
    assert consent.answer("db", "1")["answer"] == "accepted"
    assert consent.answer("web", "1")["answer"] == "deferred"


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        '{"web": "yes"}',
        '{"web": {"answer": "maybe"}}',
        '{"web": {"answer": "deferred"}}',
        '{"web": {"answer": "deferred", "until": "tomorrow"}}',
        '{"web": {"answer": "accepted", "version": 8}}',
    ],
)
def test_a_file_that_is_wrong_is_noted_once_and_answers_nothing(
    consent: ConsentFile, lines: list[str], content: str
) -> None:
    consent.path.write_text(content)
    assert not consent.has_changed()
    assert not consent.has_changed()
    assert consent.answer("web", "8") == {}
    assert len(lines) == 1
    assert str(consent.path) in lines[0]


def test_a_file_that_is_removed_takes_the_answers_with_it(consent: ConsentFile) -> None:
    consent.path.write_text('{"web": {"answer": "accepted"}}')
    assert consent.has_changed()
    consent.path.unlink()
    assert consent.has_changed()
    assert consent.answer("web", "8") == {}


def test_until_is_a_time_or_a_duration() -> None:
    assert answer_from(["defer"], UNTIL, "", 0.0) == {"answer": "deferred", "until": UNTIL}
    later = answer_from(["defer"], "1d2h3m4s", "x", 0.0)
    assert later == {"answer": "deferred", "until": "1970-01-02T02:03:04Z", "reason": "x"}
    assert answer_from(["accept"], "", "", 0.0) == {"answer": "accepted"}


@pytest.mark.parametrize(
    ("words", "until", "reason"),
    [
        ([], "", ""),
        (["maybe"], "", ""),
        (["defer"], "", "busy"),
        (["defer"], "soon", ""),
        (["accept"], "2h", ""),
        (["accept"], "", "why not"),
    ],
)
def test_what_is_no_answer_is_refused(words: list[str], until: str, reason: str) -> None:
    with pytest.raises(AgentError):
        answer_from(words, until, reason, 0.0)


# -- the verb --------------------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "identity").mkdir()
    (tmp_path / "identity" / "identity.json").write_text('{"nodeId": "default.gate-7"}')
    offers: list[Any] = [
        {"name": "web", "version": "8", "consent": True, "latest": UNTIL, "fetched": True},
        {"name": "db", "version": "9", "notBefore": UNTIL},
    ]
    StateFile(tmp_path).write("up", [], offers)
    return tmp_path


def run(home: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "edgesync_agent", "consent", "--home", str(home), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_the_verb_lists_and_answers_what_is_offered(home: Path, consent: ConsentFile) -> None:
    assert run(home).stdout.splitlines() == [
        f"web version 8, fetched, waits for consent, {UNTIL} at the latest",
        f"db version 9, being fetched, not before {UNTIL}",
    ]
    done = run(home, "defer", "--until", UNTIL, "--reason", "machine in use")
    assert (done.returncode, done.stdout) == (0, "edgesync: web version 8 is deferred\n")
    assert consent.has_changed()
    assert consent.answer("web", "8") == {
        "answer": "deferred",
        "until": UNTIL,
        "reason": "machine in use",
    }
    assert run(home, "accept", "web").stdout == "edgesync: web version 8 is accepted\n"
    assert consent.has_changed()
    assert consent.answer("web", "8") == {"answer": "accepted"}


def test_the_verb_refuses_what_is_not_offered(home: Path) -> None:
    done = run(home, "accept", "db")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "edgesync: no version of app db waits for consent here\n"
    StateFile(home).write("up", [], [])
    assert run(home, "accept").stderr == "edgesync: no version waits for consent here\n"
