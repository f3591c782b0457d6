"""Handlers: nodes."""

from collections.abc import Callable
from typing import Any

import msgspec

from cloud.core.decoding import convert
from cloud.core.merge_patch import merged
from cloud.core.node import Node, NodeSpec
from cloud.core.nulls import without_nulls
from cloud.core.readiness import standing
from cloud.core.skew import clock_condition
from cloud.core.stats import report_view
from cloud.operations import nodes
from cloud.rest.call import DONE, Call, Shown, take_name
from cloud.rest.views import View, app_summary, node_view
from cloud.store.interface import Transaction

_READ_ONLY = frozenset({"namespace", "ready", "state", "createTime"})


async def create_node(call: Call) -> Shown:
    """`POST /v1/nodes`."""
    content = await call.content(ignored=_READ_ONLY)
    name, spec = take_name(content), convert(content, NodeSpec)
    seen = await call.store.write(
        lambda tx: nodes.create_node(tx, call.namespace, name, spec, now=call.now)
    )
    return _shown(call, seen)


async def update_node(call: Call) -> Shown:
    """`PUT /v1/nodes/{name}`; the page's `annotatins` is understood too."""
    content = _spelt(await call.content(ignored=_READ_ONLY | {"name"}))
    spec = convert(without_nulls(content, NodeSpec), NodeSpec)
    return await _update(call, lambda _: spec)


async def patch_node(call: Call) -> Shown:
    """`PATCH /v1/nodes/{name}`: as PUT, of what the merge patch makes of the node."""
    patch = _spelt(await call.patch(ignored=_READ_ONLY | {"name"}))
    return await _update(
        call, lambda node: convert(merged(msgspec.to_builtins(node.spec), patch), NodeSpec)
    )


async def _update(call: Call, wanted: Callable[[Node], NodeSpec]) -> Shown:
    name, precondition = call.path("name"), call.precondition()

    def update(tx: Transaction) -> nodes.SeenNode:
        before = nodes.existing_node(tx, call.namespace, name)
        precondition.check(lambda: before)
        return nodes.update_node(tx, call.namespace, name, wanted(before), now=call.now)

    return _shown(call, await call.store.write(update))


def _spelt(content: dict[str, Any]) -> dict[str, Any]:
    if "annotatins" in content:
        content.setdefault("annotations", content.pop("annotatins"))
    return content


def _shown(call: Call, seen: nodes.SeenNode) -> Shown:
    """A node's tag says nothing of `ready` and `state`."""
    return Shown(_view(call, seen), seen.node, is_whole=False)


def _view(call: Call, seen: nodes.SeenNode) -> View:
    return node_view(seen, call.now, connected=call.api.is_connected(seen.node.id))


async def get_node(call: Call) -> Shown:
    """`GET /v1/nodes/{name}`."""
    name = call.path("name")
    found = await call.store.read(lambda tx: nodes.read_node(tx, call.namespace, name))
    return _shown(call, found)


async def list_nodes(call: Call) -> View:
    """`GET /v1/nodes`."""
    options = call.list_options()
    page = await call.store.read(lambda tx: nodes.list_nodes(tx, call.namespace, options))
    return call.list_view(page, options, lambda seen: _view(call, seen))


async def delete_node(call: Call) -> View:
    """`DELETE /v1/nodes/{name}`; its connection ends once it is gone."""
    name, precondition = call.path("name"), call.precondition()

    def delete(tx: Transaction) -> Node:
        precondition.check(lambda: nodes.existing_node(tx, call.namespace, name))
        return nodes.delete_node(tx, call.namespace, name, now=call.now)

    node = await call.store.write(delete)
    call.api.on_revoked(node.id)
    return DONE


async def revoke_node(call: Call) -> View:
    """`POST /v1/nodes/{name}/revoke`; its connection ends once its certificates are taken back."""
    name = call.path("name")
    node = await call.store.write(
        lambda tx: nodes.revoke_node(tx, call.namespace, name, now=call.now)
    )
    call.api.on_revoked(node.id)
    return DONE


async def get_stats(call: Call) -> View:
    """`GET /v1/nodes/{name}/stats`."""
    name = call.path("name")
    found = await call.store.read(lambda tx: nodes.read_reported_node(tx, call.namespace, name))
    ready = standing(found.heard, call.now, is_revoked=found.is_revoked).is_ready
    return {
        **_view(call, found),
        "report": report_view(found.report, ready=ready),
        "conditions": [clock_condition(found.report, found.heard)],
    }


async def list_apps(call: Call) -> View:
    """`GET /v1/nodes/{name}/apps`; the page wants null for the options of this list."""
    name = call.path("name")
    apps = await call.store.read(lambda tx: nodes.apps_of_node(tx, call.namespace, name))
    return {"total": len(apps), "listOptions": None, "items": [app_summary(app) for app in apps]}
