"""The difference between what a node says it runs and what it should run."""

from collections.abc import Mapping
from typing import Any

from cloud.core.desired import AppVersion, Desired
from cloud.core.report import Reported

Delta = Mapping[str, Any]
"""A JSON merge patch (RFC 7396) against the report: `{}`, or the whole desired state."""


def diff(reported: Reported, desired: Desired) -> Delta:
    """Delta that makes *reported* what is *desired*; `{}` when it is already.

    All or nothing: agents replace what they hold by any delta that is not empty, so a part of the
    desired state would make them drop the rest. The order of the lists does not count. A list the
    node does not know yet (None) counts as different only when something is desired.
    """
    if _same(reported.apps, desired.apps) and _same(reported.sysapps, desired.sysapps):
        return {}
    return {"apps": _listed(desired.apps), "sysapps": _listed(desired.sysapps)}


def apply(reported: Reported, delta: Delta) -> Reported:
    """What a node reports once it has obeyed *delta*; the inverse of `diff`."""
    if not delta:
        return reported
    return Reported(
        apps=tuple(AppVersion(**app) for app in delta["apps"]),
        sysapps=tuple(AppVersion(**app) for app in delta["sysapps"]),
    )


def _same(reported: tuple[AppVersion, ...] | None, desired: tuple[AppVersion, ...]) -> bool:
    if reported is None:
        return not desired
    return reported == desired or sorted(reported) == sorted(desired)


def _listed(apps: tuple[AppVersion, ...]) -> list[dict[str, str]]:
    return [{"name": app.name, "version": app.version} for app in apps]
