"""Versions that a node is offered before it should run them (docs/protocol.md, "Offers"); pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from agent_sim.fetching import AppFetch, WantedApp
from agent_sim.model import HeldApp, time_text

ACCEPTED, DEFERRED = "accepted", "deferred"


@dataclass(frozen=True, slots=True)
class VersionOffer:
    """One offer; *given* is the entry as it came, *deferred* until when and why it has to wait."""

    name: str
    version: str
    given: Mapping[str, Any]
    not_before: datetime | None = None
    deferred: tuple[datetime, str] | None = None

    @property
    def wanted(self) -> WantedApp:
        """The app to fetch."""
        return WantedApp(self.name, self.version)


@dataclass(frozen=True, slots=True)
class Deferral:
    """How the user of a device puts off each version of *apps*: for how long, and why."""

    apps: tuple[tuple[str, str], ...] = ()
    seconds: float = 60.0
    reason: str = "machine in use"

    def concerns(self, name: str, version: str) -> bool:
        """Return whether the version is put off; one without a version stands for all."""
        return (name, version) in self.apps or (name, "") in self.apps


@dataclass(frozen=True, slots=True)
class Offers:
    """All that is offered, and what of it is here."""

    items: tuple[VersionOffer, ...] = ()
    ready: Mapping[WantedApp, HeldApp] = field(default_factory=dict)
    deferral: Deferral = Deferral()  # frozen

    def taking(
        self, content: Mapping[str, Any], apps: Iterable[WantedApp], now: datetime
    ) -> "Offers":
        """With the offers of a delta's *content*; the same where it names none, or the same.

        What was fetched stays for *apps*, which the delta wants.
        """
        if not isinstance(content.get("offer"), list):
            return self
        known = {(one.name, one.version): one for one in self.items}
        items = tuple(self._read(entry, known, now) for entry in content["offer"] if _is_one(entry))
        if [one.given for one in items] == [one.given for one in self.items]:
            return self
        wanted = {*apps, *(one.wanted for one in items)}
        return replace(
            self, items=items, ready={k: app for k, app in self.ready.items() if k in wanted}
        )

    def _read(
        self,
        entry: Mapping[str, Any],
        known: Mapping[tuple[str, str], VersionOffer],
        now: datetime,
    ) -> VersionOffer:
        name, version = entry["name"], entry["version"]
        before = known.get((name, version))
        deferred = before.deferred if before else None
        if before is None and entry.get("consent") and self.deferral.concerns(name, version):
            deferred = now + timedelta(seconds=self.deferral.seconds), self.deferral.reason
        return VersionOffer(name, version, entry, _moment(entry.get("notBefore")), deferred)

    def allowed(
        self, wanted: Sequence[WantedApp], held: Mapping[str, HeldApp], now: datetime
    ) -> tuple[WantedApp, ...]:
        """*wanted* as far as it may be applied at *now*; else the version that is *held*."""
        result = []
        for each in wanted:
            if not self._holds_back(each, now):
                result.append(each)
            elif each.name in held:
                result.append(replace(each, version=held[each.name].version))
        return tuple(result)

    def _holds_back(self, wanted: WantedApp, now: datetime) -> bool:
        return any(
            one.wanted == wanted and one.not_before is not None and now < one.not_before
            for one in self.items
        )

    def seconds_to_opening(self, wanted: Iterable[WantedApp], now: datetime) -> float | None:
        """Seconds until something *wanted* may be applied that has to wait; None where none has."""
        waiting = [one for one in self.items if one.wanted in set(wanted)]
        waits = [(one.not_before - now).total_seconds() for one in waiting if one.not_before]
        return min((seconds for seconds in waits if seconds > 0), default=None)

    def to_fetch(self) -> tuple[WantedApp, ...]:
        """What is offered and not here yet."""
        return tuple(one.wanted for one in self.items if one.wanted not in self.ready)

    def with_ready(self, apps: Iterable[HeldApp]) -> "Offers":
        """With *apps* here, for the time at which they may be applied."""
        found = {WantedApp(app.name, app.version, app.is_system): app for app in apps}
        return replace(self, ready={**self.ready, **found})

    def without_ready(self, wanted: Iterable[WantedApp]) -> "Offers":
        """Without what is applied now."""
        gone = set(wanted)
        return replace(self, ready={k: app for k, app in self.ready.items() if k not in gone})

    def own_fetches(self, fetches: Iterable[AppFetch]) -> tuple[AppFetch, ...]:
        """Those of *fetches* that are for offers only."""
        wanted = {one.wanted for one in self.items}
        return tuple(fetch for fetch in fetches if fetch.wanted in wanted)

    def entries(self, now: datetime) -> list[dict[str, Any]]:
        """The `offers` of a report: each as it came, with whether it is here and the answer."""
        return [self._entry(one, now) for one in self.items]

    def _entry(self, one: VersionOffer, now: datetime) -> dict[str, Any]:
        entry = {**one.given, "fetched": one.wanted in self.ready}
        if not one.given.get("consent"):
            return entry
        if one.deferred is None or one.deferred[0] <= now:
            return {**entry, "answer": ACCEPTED}
        until, reason = one.deferred
        return {**entry, "answer": DEFERRED, "until": time_text(until), "reason": reason}


def _is_one(entry: Any) -> bool:
    return (
        isinstance(entry, dict)
        and isinstance(entry.get("name"), str)
        and isinstance(entry.get("version"), str)
    )


def _moment(text: Any) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return moment if moment.tzinfo else None
