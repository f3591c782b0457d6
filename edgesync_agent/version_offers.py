"""Versions that the server offers before they are to run (docs/protocol.md, "Offers")."""

from __future__ import annotations

from typing import Any, Callable, Mapping

from edgesync_agent.consent import seconds_of
from edgesync_agent.files import safe

OFFERS_LIMIT = 1000

Answer = Callable[[str, str], "dict[str, str]"]
"""The answer of this machine's user for an app at a version; empty where there is none."""


class VersionOffers:
    """What is offered, by app, and what the report states of it."""

    def __init__(self, answer: Answer = lambda _app, _version: {}) -> None:
        self.answer = answer
        self.entries: dict[str, dict[str, Any]] = {}  # as they came

    def take(self, content: Mapping[str, Any]) -> bool:
        """Take over the offers of a delta; whether they are others than before."""
        if "offer" not in content:
            return False
        before = self.entries
        entries = list(content["offer"])[:OFFERS_LIMIT]
        self.entries = {
            safe(one["name"]): {**one, "version": str(one["version"])} for one in entries
        }
        return self.entries != before

    def versions(self) -> dict[str, str]:
        """The offered version of each app."""
        return {name: entry["version"] for name, entry in self.entries.items()}

    def allowed(
        self, wanted: Mapping[str, str], present: Mapping[str, str], now: float
    ) -> dict[str, str]:
        """*wanted* as far as it may run at *now*; else the *present* version, if there is one."""
        result = {}
        for name, version in wanted.items():
            if not self._holds_back(name, version, now):
                result[name] = version
            elif name in present:
                result[name] = present[name]
        return result

    def _holds_back(self, name: str, version: str, now: float) -> bool:
        entry = self.entries.get(name, {})
        begins = seconds_of(entry.get("notBefore"))
        return entry.get("version") == version and begins is not None and now < begins

    def report(self, is_fetched: Callable[[str, str], bool]) -> list[dict[str, Any]]:
        """The `offers` of a report: each as it came, whether it is here, and the answer."""
        return [
            {
                **entry,
                "fetched": is_fetched(name, entry["version"]),
                **(self.answer(name, entry["version"]) if entry.get("consent") else {}),
            }
            for name, entry in sorted(self.entries.items())
        ]
