"""How things look in JSON; the field names are those of the contract."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeVar

import msgspec

from cloud.core.app import App
from cloud.core.batch import Batch, Record
from cloud.core.callback import Delivery, masked
from cloud.core.config import Config, masked_config_spec
from cloud.core.listing import ListOptions, NumberedPage, Page
from cloud.core.properties import Properties
from cloud.core.readiness import REASONS, REVOKED, standing
from cloud.core.registry import Registry
from cloud.core.secret import Secret
from cloud.core.times import time_text
from cloud.core.tokens import ApiToken
from cloud.operations.callbacks import SeenCallback
from cloud.operations.expiry import EndingNode
from cloud.operations.nodes import SeenNode

T = TypeVar("T")

View = Mapping[str, Any]


def node_view(seen: SeenNode, now: datetime, *, connected: bool | None) -> View:
    """A node, alone or in a list; its labels are those that selectors see.

    *connected*: whether it has a connection, None where nobody knows.
    """
    node, heard = seen.node, seen.heard
    stands = standing(heard, now, is_revoked=seen.is_revoked)
    return {
        "name": node.name,
        "namespace": node.namespace,
        "description": node.spec.description,
        "ready": stands.is_ready,
        "state": {
            "name": stands.state,
            "reason": REVOKED if seen.is_revoked else REASONS[stands.state],
            "since": time_text(stands.since or node.created),
            "lastReport": _time_or_none(heard.report if heard else None),
            "lastStats": _time_or_none(heard.stats if heard else None),
            "interval": heard.pace.interval.total_seconds() if heard else None,
            "connected": connected,
            "revoked": seen.is_revoked,
        },
        "createTime": time_text(node.created),
        "labels": dict(node.labels),
        "annotations": node.spec.annotations,
    }


def properties_view(properties: Properties) -> View:
    """What is wanted of a node and what it says, and since when."""
    times = {"report": properties.report_times, "desire": properties.desire_times}
    return {
        "state": {"report": properties.report, "desire": properties.desire},
        "metadata": {
            part: {key: time_text(moment) for key, moment in moments.items()}
            for part, moments in times.items()
        },
    }


def app_summary(app: App) -> View:
    """An app in a list: all but what it consists of."""
    return {
        "name": app.name,
        "namespace": app.namespace,
        "selector": app.spec.selector,
        "labels": app.spec.labels,
        "description": app.spec.description,
        "version": app.version,
        "type": app.spec.type,
        "createTime": time_text(app.created),
        "updateTime": time_text(app.updated),
    }


def app_view(app: App, registry_versions: Mapping[str, str]) -> View:
    """An app; the registries it names with their versions."""
    return {
        **app_summary(app),
        "select": app.spec.selector,
        **msgspec.to_builtins(app.spec),
        "registries": [
            {"name": ref.name, "version": registry_versions.get(ref.name, "")}
            for ref in app.spec.registries
        ],
    }


def config_summary(config: Config) -> View:
    """A config in a list: without its data."""
    return {
        "name": config.name,
        "namespace": config.namespace,
        "labels": config.spec.labels,
        "description": config.spec.description,
        "version": config.version,
        "createTime": time_text(config.created),
        "updateTime": time_text(config.updated),
    }


def config_view(config: Config) -> View:
    """A config; secret keys of object stores are masked."""
    return {**config_summary(config), "data": masked_config_spec(config.spec).data}


def secret_summary(secret: Secret) -> View:
    """A secret in a list: without its values."""
    return {
        "name": secret.name,
        "namespace": secret.namespace,
        "description": secret.spec.description,
        "version": secret.version,
        "createTime": time_text(secret.created),
        "updateTime": time_text(secret.updated),
    }


def secret_view(secret: Secret) -> View:
    """A secret, its values too."""
    return {**secret_summary(secret), "data": secret.spec.data}


def registry_view(registry: Registry) -> View:
    """A registry, alone or in a list: without its password."""
    return {
        "name": registry.name,
        "namespace": registry.namespace,
        "address": registry.spec.address,
        "username": registry.spec.username,
        "description": registry.spec.description,
        "version": registry.version,
        "createTime": time_text(registry.created),
        "updateTime": time_text(registry.updated),
    }


def batch_summary(batch: Batch) -> View:
    """A batch in a list: without its token."""
    return {
        "name": batch.name,
        "namespace": batch.namespace,
        "quotaNum": batch.spec.quota_num,
        "securityType": batch.spec.security_type,
        "callbackName": batch.spec.callback_name,
        "description": batch.spec.description,
        "createTime": time_text(batch.created),
        "updateTime": time_text(batch.updated),
    }


def batch_view(batch: Batch) -> View:
    """A batch, its token too."""
    return {
        **batch_summary(batch),
        "enableWhitelist": batch.spec.enable_whitelist,
        "securityKey": batch.spec.security_key,
        "labels": batch.spec.labels,
        "fingerprint": batch.spec.fingerprint,
    }


def record_view(record: Record) -> View:
    """A record, alone or in a list."""
    return {
        "name": record.name,
        "namespace": record.namespace,
        "batchName": record.batch,
        "fingerprintValue": record.fingerprint,
        "active": int(record.active),
        "nodeName": record.node_name,
        "activeIp": record.active_ip,
        "createTime": time_text(record.created),
        "updateTime": time_text(record.updated),
    }


def callback_summary(seen: SeenCallback) -> View:
    """A callback in a list: without where it leads, since that can be a secret."""
    callback, outcome = seen.callback, seen.outcome
    return {
        "name": callback.name,
        "namespace": callback.namespace,
        "description": callback.spec.description,
        "state": {
            "pending": outcome.pending,
            "givenUp": outcome.given_up,
            "lastSuccessTime": _time_or_none(outcome.last_success),
            "lastError": outcome.last_error,
            "lastErrorTime": _time_or_none(outcome.last_error_time),
        },
        "createTime": time_text(callback.created),
        "updateTime": time_text(callback.updated),
    }


def callback_view(seen: SeenCallback) -> View:
    """A callback: its secret is masked; with the newest of what it could not be told."""
    summary, spec = callback_summary(seen), masked(seen.callback.spec)
    dead = [_dead_letter_view(delivery) for delivery in seen.dead_letters]
    return {
        **summary,
        **msgspec.to_builtins(spec),
        "state": {**summary["state"], "deadLetters": dead},
    }


def _dead_letter_view(delivery: Delivery) -> View:
    return {
        "id": delivery.id,
        "createTime": time_text(delivery.created),
        "attempts": delivery.attempts,
        "error": delivery.error,
        "content": delivery.content,
    }


def certificate_view(ending: EndingNode, now: datetime) -> View:
    """A node and the end of its last certificate; the serial number as `openssl` shows it."""
    node, heard = ending.seen.node, ending.seen.heard
    return {
        "node": node.name,
        "namespace": node.namespace,
        "serial": f"{ending.end.serial:X}",
        "notAfter": time_text(ending.end.expires),
        "lastSeen": _time_or_none(heard.last if heard else None),
        "ready": standing(heard, now, is_revoked=ending.seen.is_revoked).is_ready,
    }


def token_view(token: ApiToken) -> View:
    """A token, alone or in a list: without the token itself, and without its digest."""
    return {
        "name": token.name,
        "namespace": token.namespace,
        "role": token.role,
        "createTime": time_text(token.created),
        "expires": _time_or_none(token.expires),
        "lastUsedTime": _time_or_none(token.last_used),
    }


def list_view(page: Page[T], options: ListOptions, view: Callable[[T], View], token: str) -> View:
    """A list that is paged by `continue`; the options come back, with the *token* that goes on."""
    return {
        "total": page.total,
        "listOptions": {
            "selector": options.selector,
            "fieldSelector": options.field_selector,
            "limit": options.limit,
            "continue": token,
        },
        "items": [view(item) for item in page.items],
    }


def numbered_list_view(page: NumberedPage[T], view: Callable[[T], View]) -> View:
    """A list that is paged by `pageNo`."""
    return {
        "total": page.total,
        "pageNo": page.number,
        "pageSize": page.size,
        "items": [view(item) for item in page.items],
    }


def _time_or_none(moment: datetime | None) -> str | None:
    return None if moment is None else time_text(moment)
