"""The rows of the API's table that are about nodes; `routes` has all of them."""

from collections.abc import Sequence

from cloud.core.core_configuration import CoreConfiguration
from cloud.core.node import NodeSpec
from cloud.core.system_apps import SystemAppsSpec
from cloud.core.tokens import Role
from cloud.rest import deploys, explain, installation, nodes, properties, system_apps
from cloud.rest.described import EXPLAINED, LISTED, Body, Described, Name
from cloud.rest.explain_shapes import ExplanationAnswer
from cloud.rest.node_shapes import (
    CoreAnswer,
    CoreVersionsAnswer,
    DeploysAnswer,
    ModeAnswer,
    NodeAnswer,
    NodeStatsAnswer,
    PropertiesAnswer,
    SystemAppsAnswer,
)
from cloud.rest.properties import ModeDraft, PropertiesDraft
from cloud.rest.route import ApiRoute
from cloud.rest.shapes import AppSummary, CommandAnswer, Listed

NODE_ROUTES: Sequence[ApiRoute] = (
    ApiRoute(
        "GET",
        "/v1/nodes",
        nodes.list_nodes,
        Described("List nodes", Listed[NodeAnswer], query=LISTED),
    ),
    ApiRoute(
        "POST",
        "/v1/nodes",
        nodes.create_node,
        Described("Create a node", NodeAnswer, Body(NodeSpec, Name.REQUIRED)),
    ),
    ApiRoute("GET", "/v1/nodes/{name}", nodes.get_node, Described("Get a node", NodeAnswer)),
    ApiRoute(
        "PUT",
        "/v1/nodes/{name}",
        nodes.update_node,
        Described("Update a node", NodeAnswer, Body(NodeSpec, Name.IGNORED)),
    ),
    ApiRoute(
        "PATCH",
        "/v1/nodes/{name}",
        nodes.patch_node,
        Described("Patch a node", NodeAnswer, Body(NodeSpec, Name.IGNORED, is_patch=True)),
    ),
    ApiRoute("DELETE", "/v1/nodes/{name}", nodes.delete_node, Described("Delete a node")),
    ApiRoute(
        "GET",
        "/v1/nodes/{name}/stats",
        nodes.get_stats,
        Described("What a node reported", NodeStatsAnswer),
    ),
    ApiRoute(
        "GET",
        "/v1/nodes/{name}/apps",
        nodes.list_apps,
        Described("Apps of a node", Listed[AppSummary]),
    ),
    ApiRoute(
        "GET",
        "/v1/nodes/{name}/init",
        installation.node_command,
        Described("Command that brings in a node", CommandAnswer),
        needs=Role.OPERATOR,
    ),
    ApiRoute(
        "GET",
        "/v1/nodes/{name}/explain",
        explain.get_explanation,
        Described("Why a node runs what it runs", ExplanationAnswer, query=EXPLAINED),
    ),
    ApiRoute(
        "GET",
        "/v1/nodes/{name}/deploys",
        deploys.list_deploys,
        Described("What a node was told to run, and what came of it", DeploysAnswer),
    ),
    ApiRoute(
        "GET",
        "/v1/nodes/{name}/properties",
        properties.get_properties,
        Described("Properties of a node", PropertiesAnswer),
    ),
    ApiRoute(
        "PUT",
        "/v1/nodes/{name}/properties",
        properties.put_properties,
        Described("Want properties of a node", PropertiesAnswer, Body(PropertiesDraft)),
    ),
    ApiRoute(
        "PATCH",
        "/v1/nodes/{name}/properties",
        properties.patch_properties,
        Described(
            "Patch what is wanted of a node", PropertiesAnswer, Body(PropertiesDraft, is_patch=True)
        ),
    ),
    ApiRoute(
        "GET",
        "/v1/nodes/{name}/mode",
        properties.get_mode,
        Described("Who has the say over a node", ModeAnswer),
    ),
    ApiRoute(
        "PUT",
        "/v1/nodes/{name}/mode",
        properties.put_mode,
        Described("Give the say over a node", ModeAnswer, Body(ModeDraft)),
    ),
    ApiRoute(
        "GET",
        "/v1/nodes/{name}/core/configs",
        properties.get_core,
        Described("Core configuration of a node", CoreAnswer),
    ),
    ApiRoute(
        "PUT",
        "/v1/nodes/{name}/core/configs",
        properties.put_core,
        Described("Configure the core of a node", CoreAnswer, Body(CoreConfiguration)),
    ),
    ApiRoute(
        "PATCH",
        "/v1/nodes/{name}/core/configs",
        properties.patch_core,
        Described(
            "Patch the core configuration", CoreAnswer, Body(CoreConfiguration, is_patch=True)
        ),
    ),
    ApiRoute(
        "GET",
        "/v1/nodes/{name}/core/versions",
        properties.get_core_versions,
        Described("Versions of a node's core", CoreVersionsAnswer),
    ),
    ApiRoute(
        "POST",
        "/v1/nodes/{name}/revoke",
        nodes.revoke_node,
        Described("Shut a node out"),
    ),
    ApiRoute(
        "GET",
        "/v1/sysapps",
        system_apps.get_system_apps,
        Described("System apps that nodes are given", SystemAppsAnswer),
        needs=Role.OPERATOR,
    ),
    ApiRoute(
        "PUT",
        "/v1/sysapps",
        system_apps.put_system_apps,
        Described("Give nodes system apps", SystemAppsAnswer, Body(SystemAppsSpec)),
    ),
)
