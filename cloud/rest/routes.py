"""The whole API as one table."""

from collections.abc import Sequence
from dataclasses import dataclass

from cloud.core.tokens import Role
from cloud.rest import (
    apps,
    configs,
    installation,
    nodes,
    register,
    registries,
    secrets,
    tokens,
)
from cloud.rest.call import Handler


@dataclass(frozen=True, slots=True)
class ApiRoute:
    """One row: who answers *method* on *path*.

    *needs* is the least role of who may ask, where it is not that of all such methods.
    """

    method: str
    path: str
    handler: Handler
    needs: Role | None = None

    @property
    def role(self) -> Role:
        """Least role of who may ask: a viewer reads, an operator changes."""
        return self.needs or (Role.VIEWER if self.method == "GET" else Role.OPERATOR)


ROUTES: Sequence[ApiRoute] = (
    ApiRoute("GET", "/v1/nodes", nodes.list_nodes),
    ApiRoute("POST", "/v1/nodes", nodes.create_node),
    ApiRoute("GET", "/v1/nodes/{name}", nodes.get_node),
    ApiRoute("PUT", "/v1/nodes/{name}", nodes.update_node),
    ApiRoute("PATCH", "/v1/nodes/{name}", nodes.patch_node),
    ApiRoute("DELETE", "/v1/nodes/{name}", nodes.delete_node),
    ApiRoute("GET", "/v1/nodes/{name}/stats", nodes.get_stats),
    ApiRoute("GET", "/v1/nodes/{name}/apps", nodes.list_apps),
    ApiRoute("GET", "/v1/nodes/{name}/init", installation.node_command, needs=Role.OPERATOR),
    ApiRoute("GET", "/v1/apps", apps.list_apps),
    ApiRoute("POST", "/v1/apps", apps.create_app),
    ApiRoute("GET", "/v1/apps/{name}", apps.get_app),
    ApiRoute("PUT", "/v1/apps/{name}", apps.update_app),
    ApiRoute("PATCH", "/v1/apps/{name}", apps.patch_app),
    ApiRoute("DELETE", "/v1/apps/{name}", apps.delete_app),
    ApiRoute("GET", "/v1/configs", configs.list_configs),
    ApiRoute("POST", "/v1/configs", configs.create_config),
    ApiRoute("GET", "/v1/configs/{name}", configs.get_config),
    ApiRoute("PUT", "/v1/configs/{name}", configs.update_config),
    ApiRoute("PATCH", "/v1/configs/{name}", configs.patch_config),
    ApiRoute("DELETE", "/v1/configs/{name}", configs.delete_config),
    ApiRoute("GET", "/v1/configs/{name}/apps", configs.list_apps),
    ApiRoute("GET", "/v1/secrets", secrets.list_secrets),
    ApiRoute("POST", "/v1/secrets", secrets.create_secret),
    ApiRoute("GET", "/v1/secrets/{name}", secrets.get_secret, needs=Role.OPERATOR),
    ApiRoute("PUT", "/v1/secrets/{name}", secrets.update_secret),
    ApiRoute("PATCH", "/v1/secrets/{name}", secrets.patch_secret),
    ApiRoute("DELETE", "/v1/secrets/{name}", secrets.delete_secret),
    ApiRoute("GET", "/v1/secrets/{name}/apps", secrets.list_apps),
    ApiRoute("GET", "/v1/registries", registries.list_registries),
    ApiRoute("POST", "/v1/registries", registries.create_registry),
    ApiRoute("GET", "/v1/registries/{name}", registries.get_registry),
    ApiRoute("PUT", "/v1/registries/{name}", registries.describe_registry),
    ApiRoute("PATCH", "/v1/registries/{name}", registries.patch_registry),
    ApiRoute("DELETE", "/v1/registries/{name}", registries.delete_registry),
    ApiRoute("GET", "/v1/registries/{name}/apps", registries.list_apps),
    ApiRoute("POST", "/v1/registries/{name}/refresh", registries.refresh_registry),
    ApiRoute("GET", "/v1/register", register.list_batches),
    ApiRoute("POST", "/v1/register", register.create_batch),
    ApiRoute("GET", "/v1/register/{batch}", register.get_batch, needs=Role.OPERATOR),
    ApiRoute("PUT", "/v1/register/{batch}", register.update_batch),
    ApiRoute("PATCH", "/v1/register/{batch}", register.patch_batch),
    ApiRoute("DELETE", "/v1/register/{batch}", register.delete_batch),
    ApiRoute("GET", "/v1/register/{batch}/init", installation.batch_command, needs=Role.OPERATOR),
    ApiRoute("POST", "/v1/register/{batch}/generate", register.generate_records),
    ApiRoute("GET", "/v1/register/{batch}/download", register.download_records),
    ApiRoute("GET", "/v1/register/{batch}/record", register.list_records),
    ApiRoute("POST", "/v1/register/{batch}/record", register.create_record),
    ApiRoute("GET", "/v1/register/{batch}/record/{record}", register.get_record),
    ApiRoute("PUT", "/v1/register/{batch}/record/{record}", register.update_record),
    ApiRoute("PATCH", "/v1/register/{batch}/record/{record}", register.patch_record),
    ApiRoute("DELETE", "/v1/register/{batch}/record/{record}", register.delete_record),
    ApiRoute("GET", "/v1/tokens", tokens.list_tokens, needs=Role.ADMIN),
    ApiRoute("POST", "/v1/tokens", tokens.create_token, needs=Role.ADMIN),
    ApiRoute("DELETE", "/v1/tokens/{name}", tokens.revoke_token, needs=Role.ADMIN),
)
