"""A report: the state of a node as it reports it (docs/protocol.md, "Report")."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec

from cloud.core.app import AppVersion
from cloud.core.core_configuration import DEFAULT_CORE, CoreConfiguration, Mode
from cloud.core.decoding import DEPTH_LIMIT, check_depth, check_text, convert
from cloud.core.encryption_key import FIELD, EncryptionKey, EncryptionKeyProof
from cloud.core.offers import OfferReport
from cloud.core.properties import NO_PROPERTIES, Properties, check_count
from cloud.core.readiness import LONGEST_INTERVAL, Heard
from cloud.errors import Invalid, TooManyRequests, Unavailable

RUN_LIMIT = 64
"""Characters in the `run` of a report."""

AGENT_LIMIT = 64
"""Characters of an agent's version that lists are selected by."""

NAME_LIMIT = 80
"""Characters of a name in a report that are shown."""

APPS_LIMIT = 1000
"""Apps that a report may name, and states of apps; each of the system's as well."""

INSTANCES_LIMIT = 2000
"""Instances of all apps in one report."""

UP = frozenset({"Running", "Succeeded"})
"""The reported status of an app that works as it should."""

PENDING = "Pending"
"""Of one that does not work yet, or is still prepared while the version before runs."""

FAILED = "Failed"
"""And of one that does not, and will not by itself."""

NO_CAUSE = "no cause was given"

_INDEFINITE = frozenset({"", "Unknown"})
"""Statuses with which only a cause shows that an app failed."""

_ASKED_AGAIN = tuple(f'"code":"{error.code}"' for error in (TooManyRequests, Unavailable))
"""Parts of causes that quote an answer of this server with which a node asks again."""

INTERVAL_LIMIT = LONGEST_INTERVAL // timedelta(seconds=1)
"""Bounds of the report interval that a node may name, in seconds."""


class Reported(msgspec.Struct, frozen=True):
    """The part of a report that is compared with the desired state; None: not known yet."""

    apps: tuple[AppVersion, ...] | None = None
    sysapps: tuple[AppVersion, ...] | None = None


class Order(msgspec.Struct, frozen=True):
    """Where a report stands among those of its node; either part may be missing."""

    run: str = ""
    sequence: int | None = None

    def is_older_than(self, other: "Order") -> bool:
        """Return whether this was counted before *other* in the same run; without numbers never."""
        return (
            self.run == other.run
            and self.sequence is not None
            and other.sequence is not None
            and self.sequence < other.sequence
        )


class AppStats(msgspec.Struct):
    """The state of one app by the report of its node."""

    name: str
    # Stock agents leave it out of what they could not even begin to run.
    version: str = ""
    status: str = ""
    cause: str | None = None
    # Of a report that was read: those alone that do not run, have a cause or were restarted.
    instances: dict[str, Any] | None = None
    # The version that runs where it is not `version`, as native agents report it.
    running: Any = None
    # What was gone on the node without its agent's doing: an object with `service` and `time`.
    drift: Any = None


def drifts_of(stats: Iterable[AppStats]) -> Iterator[tuple[str, str, str]]:
    """App, service and time of each instance that a node found gone and made again."""
    for own in stats:
        drift = own.drift
        if type(drift) is not dict:
            continue
        service, moment = drift.get("service"), drift.get("time")
        if type(service) is str and type(moment) is str:
            yield own.name[:NAME_LIMIT], service[:NAME_LIMIT], moment[:NAME_LIMIT]


def runs_instead(stats: AppStats | None) -> str:
    """The version that a node runs in place of the one it has taken over; empty for none."""
    other = stats.running if stats is not None else None
    return other if type(other) is str and stats is not None and other != stats.version else ""


def failure_of(app: AppVersion, stats: AppStats | None) -> str:
    """Why an *app* that the node has taken over failed; empty where the node reports none.

    *stats* are those of the app's name. A cause without a definite status is a failure: so stock
    agents report it of what they cannot look after, in the app or in an instance.
    """
    if stats is None or stats.version not in {app.version, ""}:
        return ""
    if stats.status == FAILED:
        return _cause_of(stats) or NO_CAUSE
    return _cause_of(stats) if stats.status in _INDEFINITE else ""


def refusal_of(app: AppVersion, stats: AppStats | None) -> str:
    """Why the node could not apply *app*; empty where none is reported.

    For an app that the node does not name in this version. Stock agents then give a cause beside
    the version before, which goes on running, or beside no version. That this server could not
    answer at that time is no reason: the node asks it again.
    """
    if stats is None or stats.version == app.version:
        return ""
    if stats.version and stats.status == FAILED:
        return ""  # it is of the version before
    cause = stats.cause or (NO_CAUSE if stats.status == FAILED else "")
    return "" if any(quoted in cause for quoted in _ASKED_AGAIN) else cause


def _cause_of(stats: AppStats) -> str:
    causes = (one.get("cause") for one in (stats.instances or {}).values() if type(one) is dict)
    return stats.cause or next((cause for cause in causes if cause and type(cause) is str), "")


class Report(msgspec.Struct, frozen=True):
    """A report that has been checked; *document* is all of it, as JSON text.

    *properties* is its `nodeprops`, *stats* how its apps do; None where not reported. *agent* is
    the version of the agent, empty if not reported. *offers* are what it was offered, None from a
    node that knows no offers. *encryption* proves its encryption key, None from a node without one;
    the document leaves it out. A report from the store has no *stats*, *agent* and *encryption*.
    """

    document: bytes
    reported: Reported
    order: Order
    properties: Mapping[str, Any] | None = None
    stats: Sequence[AppStats] | None = None
    agent: str = ""
    offers: Sequence[OfferReport] | None = None
    encryption: EncryptionKeyProof | None = None


class Reporter(msgspec.Struct, frozen=True):
    """A node as far as taking its report goes: what selectors see, and its last report if any.

    *is_ready*: its ready event was published, and no lost event since.
    *running* and *usage_step* were recorded of its reports: `running.digest_of` what it runs,
    and the number of the last step that has a point of usage. *deploy* is its `DeployStatus`.
    *certified* is when the last of its certificates expires that were not revoked. *encryption* is
    the key to which its secrets are sealed.
    """

    labels: Mapping[str, str]
    last: Order | None
    mode: Mode = Mode.CLOUD
    properties: Properties = NO_PROPERTIES
    has_open_deploy: bool = False
    core: CoreConfiguration = DEFAULT_CORE
    heard: Heard | None = None
    is_ready: bool = False
    running: str = ""
    usage_step: int = 0
    certified: datetime | None = None
    deploy: str = ""
    encryption: EncryptionKey | None = None


@dataclass(frozen=True, slots=True)
class StoredReport:
    """The last report of a node, and the usage that came after it, if any.

    *encoding* is how the node wrote it, `json` or `msgpack`: it is answered in the same.
    """

    report: Report
    encoding: str
    received: datetime
    usage: bytes | None = None
    usage_received: datetime | None = None


class _ReportContent(msgspec.Struct):
    """The fields of a report that the server reads; all else is stored as it came."""

    core: dict[str, Any] | None = None
    node: dict[str, Any] | None = None
    nodestats: dict[str, Any] | None = None
    apps: list[AppVersion] | None = None
    sysapps: list[AppVersion] | None = None
    appstats: list[AppStats] | None = None
    sysappstats: list[AppStats] | None = None
    nodeprops: dict[str, Any] | None = None
    offers: list[OfferReport] | None = None
    encryption: EncryptionKeyProof | None = msgspec.field(name=FIELD, default=None)


class _UsageContent(msgspec.Struct):
    nodestats: dict[str, Any]


def read_report(content: Any, order: Order, *, depth: int | None = None) -> Report:
    """Check *content*, the plain data of a report message; Invalid names the field.

    *depth* is how deep it is at most, where that is known. An app named twice at the same version
    counts once; two versions of an app stay two.
    """
    if not isinstance(content, dict):
        raise Invalid("content", "a report is a map")
    read = convert(content, _ReportContent, under="content")
    reported = Reported(_versions(read.apps), _versions(read.sysapps))
    if read.nodeprops is not None:
        check_count("content.nodeprops", read.nodeprops)
    stats = None
    if read.appstats is not None:
        stats = (*read.appstats, *(read.sysappstats or ()))
        for own in stats:
            if own.instances:
                own.instances = _troubled(own.instances)
    version = (read.core or {}).get("binVersion")
    agent = version[:AGENT_LIMIT] if isinstance(version, str) else ""
    if read.encryption is not None:
        content = {key: value for key, value in content.items() if key != FIELD}
    return Report(
        _document(content, depth),
        *(reported, order, read.nodeprops, stats, agent, read.offers, read.encryption),
    )


def _troubled(instances: Mapping[str, Any]) -> dict[str, Any]:
    """Those of *instances* that are more than just up.

    Others, most of a report, need not stay in memory until it is stored.
    """
    found = {}
    for name, own in instances.items():
        if type(own) is dict:
            status = own.get("status")
            is_up = type(status) is str and status in UP
            if not is_up or own.get("cause") or own.get("restarts"):
                found[name] = own
    return found


def check_counts(content: Any) -> None:
    """Refuse the plain data of a report that has more entries than a node's; Invalid names them.

    Where it is no report at all `read_report` raises Invalid.
    """
    if not isinstance(content, dict):
        return
    instances = 0
    for field in ("apps", "sysapps", "appstats", "sysappstats", "offers"):
        entries = content.get(field)
        if not entries or not isinstance(entries, list):
            continue
        if len(entries) > APPS_LIMIT:
            raise Invalid(f"content.{field}", f"{len(entries)} of them, more than {APPS_LIMIT}")
        for index, entry in enumerate(entries):
            of_app = entry.get("instances") if isinstance(entry, dict) else None
            instances += len(of_app) if isinstance(of_app, dict) else 0
            if instances > INSTANCES_LIMIT:
                reason = f"more than {INSTANCES_LIMIT} of them in the report"
                raise Invalid(f"content.{field}[{index}].instances", reason)


def read_usage(content: Any) -> bytes:
    """Its `nodestats`, alone in a map, as JSON text; Invalid names the field.

    *content* is the plain data of a stats message.
    """
    if not isinstance(content, Mapping):
        raise Invalid("content", "stats are a map")
    read = convert(content, _UsageContent, under="content")
    return _document({"nodestats": read.nodestats})


def read_order(meta: Mapping[str, str | int]) -> Order:
    """`run` and `seq` of a report's meta; Invalid if they are there and cannot be read."""
    run, sequence = meta.get("run", ""), meta.get("seq")
    if not isinstance(run, str) or len(run) > RUN_LIMIT:
        raise Invalid("meta.run", f"is not a string of at most {RUN_LIMIT} characters")
    check_text("meta.run", run)
    if isinstance(sequence, str):
        if not (sequence.isascii() and sequence.isdigit() and len(sequence) <= 19):
            raise Invalid("meta.seq", "is not a number")
        sequence = int(sequence)
    if sequence is not None and not 0 <= sequence < 2**63:
        raise Invalid("meta.seq", "is not between 0 and 2^63 - 1")
    return Order(run, sequence)


def read_interval(meta: Mapping[str, str | int]) -> timedelta | None:
    """The `interval` of a report's meta, None where there is none; Invalid if it cannot be read."""
    seconds = meta.get("interval")
    if seconds is None:
        return None
    if not isinstance(seconds, int) or not 1 <= seconds <= INTERVAL_LIMIT:
        raise Invalid("meta.interval", f"is not a number of seconds from 1 to {INTERVAL_LIMIT}")
    return timedelta(seconds=seconds)


def _versions(entries: list[AppVersion] | None) -> tuple[AppVersion, ...] | None:
    if entries is None:
        return None
    return tuple(dict.fromkeys(entries))


def _document(content: Any, depth: int | None = None) -> bytes:
    try:
        document = msgspec.json.encode(content)
    except RecursionError as error:
        raise Invalid("content", "nested too deeply") from error
    except (msgspec.MsgspecError, TypeError, ValueError) as error:
        raise Invalid("content", "contains a value that JSON cannot represent") from error
    # Each level has a bracket: with few of them no check is needed (40 us of a report's 130).
    if depth is not None and depth <= DEPTH_LIMIT:
        return document
    if document.count(b"[") + document.count(b"{") > DEPTH_LIMIT:
        check_depth("content", content)
    return document
