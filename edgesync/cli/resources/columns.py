"""The table columns of each kind."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cloud.core.kinds import (
    APP,
    BATCH,
    CALLBACK,
    GUARD,
    NODE,
    RECORD,
    REGISTRY,
    SYSTEM_APPS,
    ResourceKind,
)
from edgesync.cli.output import age, pairs, show_table

Json = Mapping[str, Any]
Column = tuple[str, Callable[[Json], Any]]


def _field(title: str, key: str) -> Column:
    return title, lambda thing: thing.get(key)


def _age(title: str, key: str) -> Column:
    return title, lambda thing: age(thing.get(key))


_NAME = _field("NAME", "name")
_VERSION = _field("VERSION", "version")
_UPDATED = _age("UPDATED", "updateTime")
_DESCRIPTION = _field("DESCRIPTION", "description")
_LABELS: Column = ("LABELS", lambda thing: pairs(thing.get("labels") or {}))

_DEFAULT = (_NAME, _VERSION, _UPDATED, _DESCRIPTION)
"""Columns of kinds that have no others."""

_TABLES: Mapping[ResourceKind, Sequence[Column]] = {
    NODE: (
        _NAME,
        ("STATE", lambda node: node["state"]["name"]),
        ("FOR", lambda node: age(node["state"]["since"])),
        ("LAST REPORT", lambda node: age(node["state"]["lastReport"])),
        _DESCRIPTION,
    ),
    APP: (_NAME, _VERSION, _field("SELECTOR", "selector"), _UPDATED, _DESCRIPTION),
    REGISTRY: (
        _NAME,
        _field("ADDRESS", "address"),
        _field("USERNAME", "username"),
        _UPDATED,
        _DESCRIPTION,
    ),
    BATCH: (
        _NAME,
        _field("QUOTA", "quotaNum"),
        _field("SECURITY", "securityType"),
        _field("CALLBACK", "callbackName"),
        _DESCRIPTION,
    ),
    RECORD: (
        _NAME,
        _field("BATCH", "batchName"),
        _field("NODE", "nodeName"),
        ("ACTIVE", lambda record: bool(record["active"])),
        _field("FINGERPRINT", "fingerprintValue"),
    ),
    CALLBACK: (
        _NAME,
        ("PENDING", lambda callback: callback["state"]["pending"]),
        ("GIVEN UP", lambda callback: callback["state"]["givenUp"]),
        ("LAST SUCCESS", lambda callback: age(callback["state"]["lastSuccessTime"])),
        ("LAST ERROR", lambda callback: callback["state"]["lastError"]),
    ),
    GUARD: (
        ("MAX SHARE", lambda guard: f"{guard['maxShare']:.0%}"),
        _field("MIN NODES", "minNodes"),
    ),
    SYSTEM_APPS: (
        ("MODULES", lambda apps: ",".join(module["name"] for module in apps["modules"])),
        _field("SELECTOR", "selector"),
        _field("ADDRESS", "address"),
    ),
}
_WIDER: Mapping[ResourceKind, Sequence[Column]] = {
    NODE: (
        ("CONNECTED", lambda node: node["state"]["connected"]),
        ("REVOKED", lambda node: node["state"]["revoked"]),
        _age("CREATED", "createTime"),
        _LABELS,
    ),
    APP: (_field("TYPE", "type"), _age("CREATED", "createTime"), _LABELS),
    REGISTRY: (_VERSION,),
    BATCH: (_age("CREATED", "createTime"),),
    RECORD: (_field("ACTIVE IP", "activeIp"),),
    CALLBACK: (_DESCRIPTION,),
}


def show_table_of(kind: ResourceKind, things: Sequence[Json], *, wide: bool) -> None:
    """Print *things* of a *kind*."""
    columns = [*_TABLES.get(kind, _DEFAULT), *(_wider(kind) if wide else ())]
    show_table(
        [title for title, _ in columns],
        [[value(thing) for _, value in columns] for thing in things],
    )


def _wider(kind: ResourceKind) -> Sequence[Column]:
    if kind in _TABLES:
        return _WIDER.get(kind, ())
    created = _age("CREATED", "createTime")
    return (created, _LABELS) if kind.has_labels else (created,)
