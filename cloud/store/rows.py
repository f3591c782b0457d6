"""Rows to values and back: what a column holds of each noun."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import msgspec

from cloud.core.audit import Actor, Attempt, Entry, Link
from cloud.core.batch import Record
from cloud.core.callback import Delivery
from cloud.core.certificate import NodeCertificate
from cloud.core.core_configuration import CoreConfiguration, Mode
from cloud.core.desired import AppVersion
from cloud.core.fingerprint import normalised
from cloud.core.installation import InstallToken, TargetKind
from cloud.core.node import Node, NodeSpec, effective_labels
from cloud.core.properties import NO_PROPERTIES, Properties
from cloud.core.readiness import Heard, Pace
from cloud.core.report import Order, Report, Reported, Reporter, StoredReport
from cloud.core.tokens import ApiToken, Role

Row = Sequence[Any]
Parameters = Mapping[str, str | int | None]


class _Kept(msgspec.Struct):
    """What `core.report.read_report` takes out of a report."""

    apps: tuple[AppVersion, ...] | None = None
    sysapps: tuple[AppVersion, ...] | None = None
    nodeprops: dict[str, Any] | None = None


_KEPT = msgspec.json.Decoder(_Kept)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NODE_SPEC = msgspec.json.Decoder(NodeSpec)
_MICROSECOND = timedelta(microseconds=1)
_CORE = msgspec.json.Decoder(CoreConfiguration)
_PROPERTIES = msgspec.json.Decoder(Properties)


def micros(moment: datetime) -> int:
    """Microseconds since the epoch; *moment* has to be aware."""
    since = moment - _EPOCH
    return (since.days * 86400 + since.seconds) * 1_000_000 + since.microseconds


def moment(count: int) -> datetime:
    """The moment that `micros` made *count* of, in UTC."""
    return _EPOCH + count * _MICROSECOND


def document(spec: msgspec.Struct) -> str:
    """JSON text of a specification."""
    return msgspec.json.encode(spec).decode()


def node_of(row: Row) -> Node:
    """The node of a row of `sql.NODE`."""
    namespace, name, text, created, updated, mode, core = row
    return Node(
        namespace,
        name,
        _NODE_SPEC.decode(text),
        moment(created),
        moment(updated),
        Mode(mode),
        _CORE.decode(core),
    )


def properties_of(text: str | None) -> Properties:
    """The properties in a row of `sql.PROPERTIES`."""
    return NO_PROPERTIES if text is None else _PROPERTIES.decode(text)


def reporter_of(name: str, row: Row) -> Reporter:
    """The reporter of a row of `report_sql.REPORTERS`; `run` is null where there is no report."""
    text, mode, core, properties, open_deploy, certified, run, sequence, *rest = row
    running, step, *heard, ready = rest
    return Reporter(
        _labels_of(name, text),
        None if run is None else Order(run, sequence),
        Mode(mode),
        properties_of(properties),
        has_open_deploy=open_deploy is not None,
        core=_core_of(core),
        heard=None if run is None else heard_of(heard),
        is_ready=ready is not None,
        running=running or "",
        usage_step=step or 0,
        certified=moment_or_none(certified),
    )


# The same for report after report: reading them is a tenth of what taking a report costs.
@lru_cache(maxsize=16_384)
def _labels_of(name: str, text: str) -> Mapping[str, str]:
    return effective_labels(name, _NODE_SPEC.decode(text).labels)


@lru_cache(maxsize=1024)
def _core_of(text: str) -> CoreConfiguration:
    return _CORE.decode(text)


def heard_of(row: Row) -> Heard:
    """When a node was heard, of a row of `report_sql.HEARD`."""
    received, usage_received, interval, longest, since = row
    pace = Pace(interval * _MICROSECOND, longest * _MICROSECOND, moment_or_none(since))
    return Heard(moment(received), moment_or_none(usage_received), pace)


def pace_row(pace: Pace) -> Parameters:
    """The parameters of `report_sql.PUT_REPORT` that say how often a node reports."""
    return {
        "report_interval": pace.interval // _MICROSECOND,
        "longest_gap": pace.longest // _MICROSECOND,
        "online_since": _micros_or_none(pace.since),
    }


def record_of(row: Row) -> Record:
    """The record of a row of `sql.RECORD`."""
    namespace, batch, name, fingerprint, node_name, created, updated, active, ip, time = row
    return Record(
        namespace,
        batch,
        name,
        fingerprint,
        node_name,
        moment(created),
        moment(updated),
        active=bool(active),
        active_ip=ip,
        active_time=moment_or_none(time),
    )


def record_row(record: Record) -> Parameters:
    """Parameters of `sql.ADD_RECORD`."""
    return {
        "namespace": record.namespace,
        "batch": record.batch,
        "name": record.name,
        "fingerprint": record.fingerprint,
        "normalised": normalised(record.fingerprint),
        "node_name": record.node_name,
        "created": micros(record.created),
        "updated": micros(record.updated),
        "active": int(record.active),
        "active_ip": record.active_ip,
        "active_time": _micros_or_none(record.active_time),
    }


def certificate_of(row: Row) -> NodeCertificate:
    """The certificate of a row of `sql.CERTIFICATE`."""
    serial, node_id, created, expires, revoked, key = row
    return NodeCertificate(
        int(serial), node_id, moment(created), moment(expires), moment_or_none(revoked), key
    )


def certificate_row(certificate: NodeCertificate) -> Parameters:
    """Parameters of `sql.PUT_CERTIFICATE`; a serial number has more digits than a number may."""
    return {
        "serial": str(certificate.serial),
        "node_id": certificate.node_id,
        "created": micros(certificate.created),
        "expires": micros(certificate.expires),
        "revoked": _micros_or_none(certificate.revoked),
        "key": certificate.key,
    }


def install_token_of(row: Row) -> InstallToken:
    """The token of a row of `sql.INSTALL_TOKEN`."""
    digest, namespace, kind, name, created, expires = row
    return InstallToken(digest, namespace, TargetKind(kind), name, moment(created), moment(expires))


def install_token_row(token: InstallToken) -> Parameters:
    """Parameters of `sql.PUT_INSTALL_TOKEN`."""
    return {
        "digest": token.digest,
        "namespace": token.namespace,
        "kind": token.kind.value,
        "name": token.name,
        "created": micros(token.created),
        "expires": micros(token.expires),
    }


def api_token_of(row: Row) -> ApiToken:
    """The token of a row of `sql.API_TOKEN`."""
    namespace, name, digest, role, created, expires, last_used = row
    return ApiToken(
        namespace,
        name,
        digest,
        Role(role),
        moment(created),
        moment_or_none(expires),
        moment_or_none(last_used),
    )


def api_token_row(token: ApiToken) -> Parameters:
    """Parameters of `sql.PUT_API_TOKEN`."""
    return {
        "namespace": token.namespace,
        "name": token.name,
        "digest": token.digest,
        "role": token.role.value,
        "created": micros(token.created),
        "expires": _micros_or_none(token.expires),
        "last_used": _micros_or_none(token.last_used),
    }


def link_of(row: Row) -> Link:
    """The entry of a row of `sql.AUDIT_LINK`, in its place."""
    number, time, kind, actor, own, action, namespace, name, address, request, reason, *rest = row
    outcome, before, after, also, code = rest
    attempt = Attempt(
        Actor(kind, actor, own),
        action,
        moment(time),
        namespace,
        name,
        address,
        request,
        reason,
    )
    return Link(number, Entry(attempt, outcome, before, after, also), code)


def link_row(link: Link) -> Parameters:
    """Parameters of `sql.PUT_AUDIT_ENTRY`."""
    entry, attempt = link.entry, link.entry.attempt
    return {
        "number": link.number,
        "time": micros(attempt.time),
        "actor_kind": attempt.actor.kind,
        "actor_name": attempt.actor.name,
        "actor_namespace": attempt.actor.namespace,
        "action": attempt.action,
        "namespace": attempt.namespace,
        "name": attempt.name,
        "address": attempt.address,
        "request_id": attempt.request_id,
        "reason": attempt.reason,
        "outcome": entry.outcome,
        "before": entry.before,
        "after": entry.after,
        "also": entry.also,
        "code": link.code,
    }


def stored_report_of(row: Row) -> StoredReport:
    """The report of a row of `report_sql.REPORT`."""
    text, run, sequence, encoding, received, usage, usage_received = row
    kept = _KEPT.decode(text)
    reported = Reported(_each_once(kept.apps), _each_once(kept.sysapps))
    return StoredReport(
        Report(text.encode(), reported, Order(run, sequence), kept.nodeprops),
        encoding,
        moment(received),
        None if usage is None else usage.encode(),
        moment_or_none(usage_received),
    )


def _each_once(apps: tuple[Any, ...] | None) -> tuple[Any, ...] | None:
    return None if apps is None else tuple(dict.fromkeys(apps))


def delivery_of(row: Row) -> Delivery:
    """The delivery of a row of `sql.DUE_DELIVERIES`."""
    own_id, namespace, callback, content_type, content, created, due, attempts, error = row
    return Delivery(
        own_id,
        namespace,
        callback,
        content,
        moment(created),
        moment_or_none(due),
        content_type,
        attempts,
        error,
    )


def delivery_row(delivery: Delivery) -> Parameters:
    """Parameters of `sql.PUT_DELIVERY`."""
    return {
        "id": delivery.id,
        "namespace": delivery.namespace,
        "callback": delivery.callback,
        "content_type": delivery.content_type,
        "content": delivery.content,
        "created": micros(delivery.created),
        "due": _micros_or_none(delivery.due),
        "attempts": delivery.attempts,
        "error": delivery.error,
    }


def moment_or_none(count: int | None) -> datetime | None:
    """As `moment`, where there may be none."""
    return None if count is None else moment(count)


def _micros_or_none(when: datetime | None) -> int | None:
    return None if when is None else micros(when)
