"""Handlers: nodes."""

from cloud.core.decoding import convert
from cloud.core.node import NodeSpec
from cloud.core.readiness import is_ready
from cloud.core.stats import report_view
from cloud.operations import nodes
from cloud.rest.call import DONE, Call, take_name
from cloud.rest.views import View, app_summary, node_view

_READ_ONLY = frozenset({"namespace", "ready", "createTime"})


async def create_node(call: Call) -> View:
    """`POST /v1/nodes`."""
    content = await call.content(ignored=_READ_ONLY)
    name, spec = take_name(content), convert(content, NodeSpec)
    seen = await call.store.write(
        lambda tx: nodes.create_node(tx, call.namespace, name, spec, now=call.now)
    )
    return node_view(seen.node, seen.last_seen, call.now)


async def update_node(call: Call) -> View:
    """`PUT /v1/nodes/{name}`; the page's `annotatins` is understood too."""
    content = await call.content(ignored=_READ_ONLY | {"name"})
    if "annotatins" in content:
        content.setdefault("annotations", content.pop("annotatins"))
    name, spec = call.path("name"), convert(content, NodeSpec)
    seen = await call.store.write(
        lambda tx: nodes.update_node(tx, call.namespace, name, spec, now=call.now)
    )
    return node_view(seen.node, seen.last_seen, call.now)


async def get_node(call: Call) -> View:
    """`GET /v1/nodes/{name}`."""
    name = call.path("name")
    found = await call.store.read(lambda tx: nodes.read_node(tx, call.namespace, name))
    return node_view(found.node, found.last_seen, call.now)


async def list_nodes(call: Call) -> View:
    """`GET /v1/nodes`."""
    options = call.list_options()
    page = await call.store.read(lambda tx: nodes.list_nodes(tx, call.namespace, options))
    return call.list_view(
        page, options, lambda seen: node_view(seen.node, seen.last_seen, call.now)
    )


async def delete_node(call: Call) -> View:
    """`DELETE /v1/nodes/{name}`; its connection ends once it is gone."""
    name = call.path("name")
    node = await call.store.write(
        lambda tx: nodes.delete_node(tx, call.namespace, name, now=call.now)
    )
    call.api.on_node_deleted(node.id)
    return DONE


async def get_stats(call: Call) -> View:
    """`GET /v1/nodes/{name}/stats`."""
    name = call.path("name")
    found = await call.store.read(lambda tx: nodes.read_node(tx, call.namespace, name))
    ready = is_ready(found.last_seen, call.now)
    return {
        **node_view(found.node, found.last_seen, call.now),
        "report": report_view(found.report, ready=ready),
    }


async def list_apps(call: Call) -> View:
    """`GET /v1/nodes/{name}/apps`; the page wants null for the options of this list."""
    name = call.path("name")
    apps = await call.store.read(lambda tx: nodes.apps_of_node(tx, call.namespace, name))
    return {"total": len(apps), "listOptions": None, "items": [app_summary(app) for app in apps]}
