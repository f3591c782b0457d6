"""A rule of notifications: which events are sent, to which channels, and how often."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from cloud.core.bounds import check_description, check_size
from cloud.core.event import Event, event_types
from cloud.core.kinds import NOTIFICATION_RULE
from cloud.core.names import check_own_name
from cloud.core.resource import VersionedResource
from cloud.core.selectors import matches, parse_selector
from cloud.errors import Invalid

SIZE_LIMIT = 16 * 1024
"""Bytes of what is described, written as JSON."""

RULES_LIMIT = 100
"""Rules of one namespace, at most."""

RULE_CHANNELS_LIMIT = 10
"""Channels of one rule, at most."""

COUNT_LIMIT = 1000
"""Greatest threshold."""

MINUTES_LIMIT = 7 * 24 * 60
"""Minutes of a window, and of quiet time, at most."""

GATHER_LIMIT = 600
"""Seconds in which what happens is gathered, at most."""


class Severity(StrEnum):
    """How bad it is; it is shown in each message."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class ThresholdUnit(StrEnum):
    """What a threshold counts: all events, or the nodes that they are about."""

    EVENTS = "events"
    NODES = "nodes"


class Threshold(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """So many events, or different nodes, within so many minutes."""

    count: int = 1
    of: ThresholdUnit = ThresholdUnit.EVENTS
    minutes: int = 10


class NotificationRuleSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """The specification of a rule.

    *events* are types and families like `node.*`. With a *selector* only events of nodes with these
    labels count. *gather_seconds* after the threshold the message is sent; of each group one is
    sent in *quiet_minutes*, and one with the sum at their end.
    """

    channels: tuple[str, ...]
    events: tuple[str, ...]
    description: str = ""
    selector: str = ""
    severity: Severity = Severity.WARNING
    threshold: Threshold = Threshold()
    gather_seconds: int = 30
    quiet_minutes: int = 60
    paused: bool = False


@dataclass(frozen=True, slots=True)
class NotificationRule(VersionedResource[NotificationRuleSpec]):
    """A rule as it is stored; *version* changes with every change of its content."""

    kind = NOTIFICATION_RULE


def checked_rule_spec(spec: NotificationRuleSpec) -> NotificationRuleSpec:
    """Return *spec* if it can be followed; Invalid names the field."""
    if not 1 <= len(spec.channels) <= RULE_CHANNELS_LIMIT:
        raise Invalid("channels", f"names not between 1 and {RULE_CHANNELS_LIMIT} channels")
    for number, name in enumerate(spec.channels):
        check_own_name(f"channels[{number}]", name)
        if name in spec.channels[:number]:
            raise Invalid(f"channels[{number}]", "is named twice")
    if not spec.events:
        raise Invalid("events", "names no types of events")
    event_types("events", spec.events)
    parse_selector(spec.selector)
    _check_between("threshold.count", spec.threshold.count, 1, COUNT_LIMIT)
    _check_between("threshold.minutes", spec.threshold.minutes, 1, MINUTES_LIMIT)
    _check_between("gatherSeconds", spec.gather_seconds, 0, GATHER_LIMIT)
    _check_between("quietMinutes", spec.quiet_minutes, 1, MINUTES_LIMIT)
    check_description(spec.description)
    check_size("", spec, SIZE_LIMIT)
    return spec


def selects(spec: NotificationRuleSpec, event: Event, labels: Mapping[str, str] | None) -> bool:
    """Return whether *event*, of a node with *labels*, counts; None: of no node that is there."""
    if spec.paused or event.type not in event_types("events", spec.events):
        return False
    terms = parse_selector(spec.selector)
    return not terms or (labels is not None and matches(terms, labels))


def _check_between(field: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise Invalid(field, f"is not between {least} and {most}")
