"""Properties of nodes, their modes, and the configuration of their agents."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import msgspec

from cloud.core.core_configuration import CoreConfiguration, Mode, checked_core
from cloud.core.node import Node
from cloud.core.properties import Properties, checked_desire
from cloud.operations.nodes import existing_node
from cloud.store.transaction import Transaction


@dataclass(frozen=True, slots=True)
class CoreVersions:
    """Versions of a node's agent: the one it reports and the one it is to have; empty: unknown."""

    running: str
    wanted: str


class _Core(msgspec.Struct):
    binVersion: str = ""


class _Reported(msgspec.Struct):
    core: _Core | None = None


def read_properties(tx: Transaction, namespace: str, name: str) -> Properties:
    """The desired and the reported properties of the node."""
    existing_node(tx, namespace, name)
    return tx.properties(namespace, name)


def want_properties(
    tx: Transaction,
    namespace: str,
    name: str,
    wanted: Callable[[Mapping[str, str]], Mapping[str, str]],
    *,
    now: datetime,
) -> Properties:
    """Want what *wanted* makes of what was wanted so far; the node is updated."""
    node = existing_node(tx, namespace, name)
    before = tx.properties(namespace, name)
    desire = checked_desire("state.desire", wanted(before.desire))
    after = before.desiring(desire, now)
    if after is not before:
        tx.put_properties(namespace, name, after)
        tx.mark_pending([node])
    return after


def keep_properties(
    tx: Transaction,
    namespace: str,
    name: str,
    before: Properties,
    reported: Mapping[str, Any],
    *,
    now: datetime,
) -> None:
    """Store the reported properties of the node; unchanged ones are not written."""
    after = before.reporting(reported, now)
    if after is not before:
        tx.put_properties(namespace, name, after)


def set_mode(tx: Transaction, node: Node, mode: Mode, *, now: datetime) -> Node:
    """Set the mode of *node*."""
    if node.mode is mode:
        return node
    after = replace(node, mode=mode, updated=now)
    tx.put_node(after)
    tx.mark_pending([after])
    return after


def configure_core(tx: Transaction, node: Node, core: CoreConfiguration, *, now: datetime) -> Node:
    """Let the agent of *node* work by *core*."""
    checked = checked_core(core)
    if node.core == checked:
        return node
    after = replace(node, core=checked, updated=now)
    tx.put_node(after)
    tx.mark_pending([after])
    return after


def core_versions(tx: Transaction, namespace: str, name: str) -> CoreVersions:
    """Which version of the agent the node runs, and which it is to run."""
    node = existing_node(tx, namespace, name)
    stored = tx.report(namespace, name)
    return CoreVersions(_running(stored.report.document) if stored else "", node.core.version)


def _running(document: bytes) -> str:
    """The reported properties of the node's agent; empty where that cannot be read."""
    try:
        reported = msgspec.json.decode(document, type=_Reported)
    except msgspec.ValidationError:
        return ""
    return reported.core.binVersion if reported.core else ""
