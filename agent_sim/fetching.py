"""The bodies that a node still has to request, computed from its desired and its received state."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from agent_sim.bodies import parts_of
from agent_sim.model import Body, BodyKind, BodyName, HeldApp, Part

BATCH = 100
"""Infos in one desire request (docs/protocol.md, "Limits")."""


@dataclass(frozen=True, slots=True)
class WantedApp:
    """An app the last delta names, at its version."""

    name: str
    version: str
    is_system: bool = False


@dataclass(frozen=True, slots=True)
class AppFetch:
    """One app that is wanted and not held: what has come of it so far.

    A *cause* is why nothing more is asked for until the next delta.
    """

    wanted: WantedApp
    body: Body | None = None
    parts: tuple[Part, ...] = ()
    cause: str = ""

    @property
    def missing(self) -> tuple[BodyName, ...]:
        """The next requests: the app, then all that it mounts."""
        if self.cause:
            return ()
        if self.body is None:
            return (BodyName(BodyKind.APPLICATION, self.wanted.name, self.wanted.version),)
        have = {part.info for part in self.parts}
        return tuple(info for info in parts_of(self.body) if info not in have)

    @property
    def is_complete(self) -> bool:
        """Return whether every body is here."""
        return self.body is not None and not self.missing and not self.cause


@dataclass(frozen=True, slots=True)
class Request:
    """A desire message on its way, by its id."""

    id: str
    infos: tuple[BodyName, ...]


def fetches_for(
    wanted: Iterable[WantedApp], held: Mapping[str, HeldApp], going_on: Iterable[AppFetch]
) -> tuple[AppFetch, ...]:
    """Fetches for what is *wanted* and not *held*; those *going on* keep what they have got."""
    known = {fetch.wanted: fetch for fetch in going_on}
    return tuple(
        replace(known.get(each, AppFetch(each)), cause="")
        for each in wanted
        if each.name not in held or held[each.name].version != each.version
    )


def all_missing(fetches: Iterable[AppFetch]) -> tuple[BodyName, ...]:
    """Everything that could be asked for now, each once."""
    return tuple(dict.fromkeys(info for fetch in fetches for info in fetch.missing))


def next_infos(fetches: Iterable[AppFetch], suspects: frozenset[BodyName]) -> tuple[BodyName, ...]:
    """The next request: applications before all else, *suspects* last and one at a time.

    A request fails as a whole. What was in one that failed is suspect until it has been asked for
    alone, so that one body that is not there does not keep the others away.
    """
    missing = all_missing(fetches)
    stage = [i for i in missing if i.kind is BodyKind.APPLICATION] or list(missing)
    trusted = [info for info in stage if info not in suspects]
    return tuple(trusted[:BATCH] or stage[:1])


def absorb(fetches: Iterable[AppFetch], info: BodyName, value: Any) -> tuple[AppFetch, ...]:
    """Take in the *value* that came for *info*.

    A value of another version means that the world has moved on: whatever needs it is forgotten,
    and the delta that is on its way starts again.
    """
    result = []
    for fetch in fetches:
        if info not in fetch.missing:
            result.append(fetch)
        elif _fits(value, info):
            result.append(_with(fetch, info, value))
    return tuple(result)


def fail(
    fetches: Iterable[AppFetch], infos: Iterable[BodyName], cause: str
) -> tuple[AppFetch, ...]:
    """Let every fetch that waits for one of *infos* rest until the next delta."""
    failed = frozenset(infos)
    return tuple(
        replace(fetch, cause=cause) if failed.intersection(fetch.missing) else fetch
        for fetch in fetches
    )


def _fits(value: Any, info: BodyName) -> bool:
    return (
        isinstance(value, dict)
        and value.get("name") == info.name
        and (not info.version or value.get("version") == info.version)
    )


def _with(fetch: AppFetch, info: BodyName, body: Body) -> AppFetch:
    if info.kind is BodyKind.APPLICATION:
        return replace(fetch, body=body)
    return replace(fetch, parts=(*fetch.parts, Part(info, body)))
