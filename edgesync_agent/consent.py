"""The answers of the user of this machine to versions that are offered (`consent.json`).

    {"web": {"version": "15", "answer": "deferred", "until": "2026-11-28T18:00:00Z",
             "reason": "machine in use"},
     "*": {"answer": "accepted"}}

An entry is for one app, `*` for all others; without `version` it is for every version. Programs may
write the file, best under another name first that is then renamed; the `consent` verb does the
same.
"""

from __future__ import annotations

import calendar
import json
import os
import re
import time
from pathlib import Path
from typing import Any, Callable, Iterable, Mapping

from edgesync_agent.errors import AgentError
from edgesync_agent.files import replace_file

ACCEPTED, DEFERRED = "accepted", "deferred"
ALL_APPS = "*"
CONSENT_FILE = "consent.json"
REASON_LIMIT = 200  # characters

_DURATION = re.compile(r"(?=.)(?:(\d{1,3})d)?(?:(\d{1,4})h)?(?:(\d{1,6})m)?(?:(\d{1,8})s)?")
_TIME = "%Y-%m-%dT%H:%M:%SZ"


class ConsentFile:
    """The answers in *path*, read again whenever the file has changed."""

    def __init__(self, path: Path, note: Callable[[str], None]) -> None:
        self.path = path
        self.note = note
        self.seen: Any = None  # what the file looked like when it was read
        self.answers: Mapping[str, Any] = {}

    def has_changed(self) -> bool:
        """Read the file if it is another one than before; whether the answers are others."""
        try:
            status = os.stat(self.path)
            seen: Any = (status.st_mtime_ns, status.st_ino, status.st_size)
        except OSError:
            seen = None
        if seen == self.seen:
            return False
        before, self.seen = self.answers, seen
        self.answers = self._read() if seen is not None else {}
        return self.answers != before

    def _read(self) -> Mapping[str, Any]:
        try:
            return read_answers(self.path)
        except (OSError, ValueError) as error:
            self.note(f"consent: {self.path} is not used: {error}")
            return {}

    def answer(self, app: str, version: str) -> dict[str, str]:
        """The keys of a report's offer that are the answer; none where there is no answer."""
        for name in (app, ALL_APPS):
            found = self.answers.get(name)
            if found and found.get("version", version) == version:
                return {key: found[key] for key in ("answer", "until", "reason") if key in found}
        return {}


def read_answers(path: Path) -> dict[str, dict[str, str]]:
    """The answers in *path*; OSError and ValueError, naming what is wrong, where there are none."""
    found = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(found, dict):
        raise ValueError("it is not a map of apps")  # noqa: TRY004  # content of a file
    return {str(name): _answer(str(name), one) for name, one in found.items()}


def _answer(name: str, one: Any) -> dict[str, str]:
    if not isinstance(one, dict) or any(not isinstance(value, str) for value in one.values()):
        raise ValueError(f"{name}: not a map of texts")
    if one.get("answer") not in {ACCEPTED, DEFERRED}:
        raise ValueError(f"{name}: answer is neither {ACCEPTED} nor {DEFERRED}")
    if one["answer"] == DEFERRED and not _is_time(one.get("until", "")):
        raise ValueError(f"{name}: until is not a time such as 2026-11-28T18:00:00Z")
    return {**one, "reason": one["reason"][:REASON_LIMIT]} if "reason" in one else one


def record(home: Path, apps: Mapping[str, str], answer: Mapping[str, str]) -> None:
    """Write *answer* for the *apps* at those versions; other answers stay."""
    path = home / CONSENT_FILE
    try:
        before = read_answers(path)
    except (OSError, ValueError):
        before = {}
    new = {name: {"version": version, **answer} for name, version in apps.items()}
    replace_file(path, json.dumps({**before, **new}, indent=1).encode())


def answer_from(words: Iterable[str], until: str, reason: str, now: float) -> dict[str, str]:
    """The answer that the words of the verb stand for; AgentError names what is wrong."""
    verb = next(iter(words), "")
    if verb not in {"accept", "defer"}:
        raise AgentError("consent needs accept or defer")
    if verb == "accept":
        if until or reason:
            raise AgentError("consent accept has neither --until nor --reason")
        return {"answer": ACCEPTED}
    if not until:
        raise AgentError("consent defer needs --until: a time, or a duration such as 2h")
    found = {"answer": DEFERRED, "until": _moment(until, now)}
    return {**found, "reason": reason[:REASON_LIMIT]} if reason else found


def _moment(text: str, now: float) -> str:
    if _is_time(text):
        return text
    found = _DURATION.fullmatch(text)
    if found is None:
        raise AgentError(f"{text!r} is neither a time such as 2026-11-28T18:00:00Z nor one as 2h")
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    later = now + ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    return time.strftime(_TIME, time.gmtime(later))


def _is_time(text: str) -> bool:
    return seconds_of(text) is not None


def seconds_of(text: Any) -> float | None:
    """Seconds since 1970 of a time of the protocol; None for anything else."""
    try:
        return float(calendar.timegm(time.strptime(text, _TIME)))
    except (ValueError, TypeError):
        return None
