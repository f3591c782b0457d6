"""Properties of a node: desired by operators, reported by applications, each by its key.

What is wanted travels to the node as `nodeprops` of a delta, what is reported comes in that of a
report (docs/protocol.md, "Report" and "Delta").
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from cloud.errors import Invalid

COUNT_LIMIT = 1000
"""Desired and reported properties of one node."""

KEY_LIMIT = 128
"""Characters in the key of a property that is wanted."""

VALUE_LIMIT = 4096
"""Characters in the value of a property that is wanted."""


class Properties(msgspec.Struct, frozen=True, omit_defaults=True):
    """The desired properties (*desire*) and those of the node's last report (*report*).

    The times are when the value of each key became what it is, by the server's clock. *is_managed*
    once anything was wanted: from then on the node is also sent that nothing is.
    """

    desire: dict[str, str] = {}
    report: dict[str, Any] = {}
    desire_times: dict[str, datetime] = {}
    report_times: dict[str, datetime] = {}
    is_managed: bool = False

    def described(self) -> Mapping[str, Any]:
        """Those that are wanted, for the audit log."""
        return {"desire": self.desire}

    def desiring(self, desire: Mapping[str, str], now: datetime) -> "Properties":
        """These with *desire* wanted instead; the same object where that changes nothing."""
        if desire == self.desire:
            return self
        times = _times(self.desire, self.desire_times, desire, now)
        return msgspec.structs.replace(
            self, is_managed=True, desire=dict(desire), desire_times=times
        )

    def reporting(self, report: Mapping[str, Any], now: datetime) -> "Properties":
        """These once the node reported *report*; the same object where that is nothing new."""
        if report == self.report:
            return self
        times = _times(self.report, self.report_times, report, now)
        return msgspec.structs.replace(self, report=dict(report), report_times=times)


@dataclass(frozen=True, slots=True)
class WantedProperties:
    """The desired state of the node *name*, which operators change; the rest is reported."""

    name: str
    properties: Properties

    @property
    def tag_state(self) -> object:
        """Whose they are, and what is wanted since when."""
        return [self.name, self.properties.desire, self.properties.desire_times]


NO_PROPERTIES = Properties()
"""Those of a node without any."""


def checked_desire(field: str, desire: Mapping[str, str]) -> Mapping[str, str]:
    """Return *desire* if it may be wanted of a node; Invalid names the key."""
    check_count(field, desire)
    for key, value in desire.items():
        if not 1 <= len(key) <= KEY_LIMIT:
            raise Invalid(field, f"a key has not between 1 and {KEY_LIMIT} characters")
        if len(value) > VALUE_LIMIT:
            raise Invalid(f"{field}.{key}", f"has more than {VALUE_LIMIT} characters")
    return desire


def check_count(field: str, properties: Mapping[str, Any]) -> None:
    """Refuse more properties than one node has."""
    if len(properties) > COUNT_LIMIT:
        raise Invalid(field, f"{len(properties)} of them, more than {COUNT_LIMIT}")


def _times(
    before: Mapping[str, Any],
    times: Mapping[str, datetime],
    after: Mapping[str, Any],
    now: datetime,
) -> dict[str, datetime]:
    """When each value of *after* came: now, unless it was there *before*."""
    return {
        key: times.get(key, now) if key in before and before[key] == value else now
        for key, value in after.items()
    }
