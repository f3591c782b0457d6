"""The whole API as one table."""

from collections.abc import Sequence

from cloud.core.app import AppSpec
from cloud.core.batch import BatchSpec
from cloud.core.callback import CallbackSpec
from cloud.core.config import ConfigSpec
from cloud.core.registry import RegistrySpec
from cloud.core.secret import SecretSpec
from cloud.core.tokens import Role
from cloud.operations.records import RecordChange, RecordDraft
from cloud.operations.registries import NewPassword, RegistryChange
from cloud.rest import (
    apps,
    callbacks,
    certificates,
    configs,
    installation,
    register,
    registries,
    secrets,
)
from cloud.rest.access import ACCESS_ROUTES
from cloud.rest.command_routes import COMMAND_ROUTES
from cloud.rest.described import (
    COPIED,
    ENDING,
    LISTED,
    NUMBERED,
    Body,
    Described,
    Name,
)
from cloud.rest.event_routes import EVENT_ROUTES
from cloud.rest.guard import GUARD_ROUTES
from cloud.rest.node_routes import NODE_ROUTES
from cloud.rest.overview_routes import OVERVIEW_ROUTES
from cloud.rest.register import RecordCount
from cloud.rest.revision_routes import REVISION_ROUTES
from cloud.rest.route import ApiRoute
from cloud.rest.shapes import (
    AppAnswer,
    AppSummary,
    BatchAnswer,
    BatchSummary,
    CallbackAnswer,
    CallbackSummary,
    CertificateAnswer,
    CommandAnswer,
    ConfigAnswer,
    ConfigSummary,
    FingerprintsAnswer,
    Listed,
    Numbered,
    RecordAnswer,
    RegistryAnswer,
    SecretAnswer,
    SecretSummary,
)

ROUTES: Sequence[ApiRoute] = (
    *NODE_ROUTES,
    *COMMAND_ROUTES,
    *GUARD_ROUTES,
    ApiRoute(
        "GET", "/v1/apps", apps.list_apps, Described("List apps", Listed[AppSummary], query=LISTED)
    ),
    ApiRoute(
        "POST",
        "/v1/apps",
        apps.create_app,
        Described("Create an app", AppAnswer, Body(AppSpec, Name.REQUIRED), COPIED, (404,)),
    ),
    ApiRoute("GET", "/v1/apps/{name}", apps.get_app, Described("Get an app", AppAnswer)),
    ApiRoute(
        "PUT",
        "/v1/apps/{name}",
        apps.update_app,
        Described("Update an app", AppAnswer, Body(AppSpec, Name.IGNORED, required=("services",))),
    ),
    ApiRoute(
        "PATCH",
        "/v1/apps/{name}",
        apps.patch_app,
        Described(
            "Patch an app",
            AppAnswer,
            Body(AppSpec, Name.IGNORED, is_patch=True, required=("services",)),
        ),
    ),
    ApiRoute("DELETE", "/v1/apps/{name}", apps.delete_app, Described("Delete an app")),
    ApiRoute(
        "GET",
        "/v1/configs",
        configs.list_configs,
        Described("List configs", Listed[ConfigSummary], query=LISTED),
    ),
    ApiRoute(
        "POST",
        "/v1/configs",
        configs.create_config,
        Described("Create a config", ConfigAnswer, Body(ConfigSpec, Name.REQUIRED)),
    ),
    ApiRoute(
        "GET", "/v1/configs/{name}", configs.get_config, Described("Get a config", ConfigAnswer)
    ),
    ApiRoute(
        "PUT",
        "/v1/configs/{name}",
        configs.update_config,
        Described(
            "Update a config", ConfigAnswer, Body(ConfigSpec, Name.IGNORED, required=("data",))
        ),
    ),
    ApiRoute(
        "PATCH",
        "/v1/configs/{name}",
        configs.patch_config,
        Described(
            "Patch a config",
            ConfigAnswer,
            Body(ConfigSpec, Name.IGNORED, is_patch=True, required=("data",)),
        ),
    ),
    ApiRoute("DELETE", "/v1/configs/{name}", configs.delete_config, Described("Delete a config")),
    ApiRoute(
        "GET",
        "/v1/configs/{name}/apps",
        configs.list_apps,
        Described("Apps that use a config", Listed[AppSummary], query=LISTED),
    ),
    ApiRoute(
        "GET",
        "/v1/secrets",
        secrets.list_secrets,
        Described("List secrets", Listed[SecretSummary], query=LISTED),
    ),
    ApiRoute(
        "POST",
        "/v1/secrets",
        secrets.create_secret,
        Described(
            "Create a secret", SecretAnswer, Body(SecretSpec, Name.REQUIRED, required=("data",))
        ),
    ),
    ApiRoute(
        "GET",
        "/v1/secrets/{name}",
        secrets.get_secret,
        Described("Get a secret", SecretAnswer),
        needs=Role.OPERATOR,
    ),
    ApiRoute(
        "PUT",
        "/v1/secrets/{name}",
        secrets.update_secret,
        Described(
            "Update a secret", SecretAnswer, Body(SecretSpec, Name.IGNORED, required=("data",))
        ),
    ),
    ApiRoute(
        "PATCH",
        "/v1/secrets/{name}",
        secrets.patch_secret,
        Described(
            "Patch a secret",
            SecretAnswer,
            Body(SecretSpec, Name.IGNORED, is_patch=True, required=("data",)),
        ),
    ),
    ApiRoute("DELETE", "/v1/secrets/{name}", secrets.delete_secret, Described("Delete a secret")),
    ApiRoute(
        "GET",
        "/v1/secrets/{name}/apps",
        secrets.list_apps,
        Described("Apps that use a secret", Listed[AppSummary], query=LISTED),
    ),
    ApiRoute(
        "GET",
        "/v1/registries",
        registries.list_registries,
        Described("List registries", Listed[RegistryAnswer], query=LISTED),
    ),
    ApiRoute(
        "POST",
        "/v1/registries",
        registries.create_registry,
        Described("Create a registry", RegistryAnswer, Body(RegistrySpec, Name.REQUIRED)),
    ),
    ApiRoute(
        "GET",
        "/v1/registries/{name}",
        registries.get_registry,
        Described("Get a registry", RegistryAnswer),
    ),
    ApiRoute(
        "PUT",
        "/v1/registries/{name}",
        registries.describe_registry,
        Described("Describe a registry", RegistryAnswer, Body(RegistryChange, Name.IGNORED)),
    ),
    ApiRoute(
        "PATCH",
        "/v1/registries/{name}",
        registries.patch_registry,
        Described(
            "Patch a registry", RegistryAnswer, Body(RegistryChange, Name.IGNORED, is_patch=True)
        ),
    ),
    ApiRoute(
        "DELETE",
        "/v1/registries/{name}",
        registries.delete_registry,
        Described("Delete a registry"),
    ),
    ApiRoute(
        "GET",
        "/v1/registries/{name}/apps",
        registries.list_apps,
        Described("Apps that use a registry", Listed[AppSummary], query=LISTED),
    ),
    ApiRoute(
        "POST",
        "/v1/registries/{name}/refresh",
        registries.refresh_registry,
        Described("Replace a registry's password", RegistryAnswer, Body(NewPassword)),
    ),
    ApiRoute(
        "GET",
        "/v1/register",
        register.list_batches,
        Described("List batches", Numbered[BatchSummary], query=NUMBERED),
    ),
    ApiRoute(
        "POST",
        "/v1/register",
        register.create_batch,
        Described("Create a batch", BatchAnswer, Body(BatchSpec, Name.OPTIONAL)),
    ),
    ApiRoute(
        "GET",
        "/v1/register/{batch}",
        register.get_batch,
        Described("Get a batch", BatchAnswer),
        needs=Role.OPERATOR,
    ),
    ApiRoute(
        "PUT",
        "/v1/register/{batch}",
        register.update_batch,
        Described("Update a batch", BatchAnswer, Body(BatchSpec, Name.IGNORED)),
    ),
    ApiRoute(
        "PATCH",
        "/v1/register/{batch}",
        register.patch_batch,
        Described("Patch a batch", BatchAnswer, Body(BatchSpec, Name.IGNORED, is_patch=True)),
    ),
    ApiRoute("DELETE", "/v1/register/{batch}", register.delete_batch, Described("Delete a batch")),
    ApiRoute(
        "GET",
        "/v1/register/{batch}/init",
        installation.batch_command,
        Described("Command that brings in a device", CommandAnswer),
        needs=Role.OPERATOR,
    ),
    ApiRoute(
        "POST",
        "/v1/register/{batch}/generate",
        register.generate_records,
        Described("Generate records", FingerprintsAnswer, Body(RecordCount)),
    ),
    ApiRoute(
        "GET",
        "/v1/register/{batch}/download",
        register.download_records,
        Described("Fingerprints of a batch, one a line", None),
    ),
    ApiRoute(
        "GET",
        "/v1/register/{batch}/record",
        register.list_records,
        Described("List records", Numbered[RecordAnswer], query=NUMBERED),
    ),
    ApiRoute(
        "POST",
        "/v1/register/{batch}/record",
        register.create_record,
        Described("Create a record", RecordAnswer, Body(RecordDraft, Name.OPTIONAL)),
    ),
    ApiRoute(
        "GET",
        "/v1/register/{batch}/record/{record}",
        register.get_record,
        Described("Get a record", RecordAnswer),
    ),
    ApiRoute(
        "PUT",
        "/v1/register/{batch}/record/{record}",
        register.update_record,
        Described("Update a record", RecordAnswer, Body(RecordChange, Name.IGNORED)),
    ),
    ApiRoute(
        "PATCH",
        "/v1/register/{batch}/record/{record}",
        register.patch_record,
        Described("Patch a record", RecordAnswer, Body(RecordChange, Name.IGNORED, is_patch=True)),
    ),
    ApiRoute(
        "DELETE",
        "/v1/register/{batch}/record/{record}",
        register.delete_record,
        Described("Delete a record"),
    ),
    ApiRoute(
        "POST",
        "/v1/register/{batch}/record/{record}/reset",
        register.reset_record,
        Described("Free a record for another device", RecordAnswer),
    ),
    ApiRoute(
        "GET",
        "/v1/callback",
        callbacks.list_callbacks,
        Described("List callbacks", Numbered[CallbackSummary], query=NUMBERED),
    ),
    ApiRoute(
        "POST",
        "/v1/callback",
        callbacks.create_callback,
        Described("Create a callback", CallbackAnswer, Body(CallbackSpec, Name.REQUIRED)),
        needs=Role.ADMIN,
    ),
    ApiRoute(
        "GET",
        "/v1/callback/{name}",
        callbacks.get_callback,
        Described("Get a callback and how it did", CallbackAnswer),
        needs=Role.OPERATOR,
    ),
    ApiRoute(
        "PUT",
        "/v1/callback/{name}",
        callbacks.update_callback,
        Described("Update a callback", CallbackAnswer, Body(CallbackSpec, Name.IGNORED)),
        needs=Role.ADMIN,
    ),
    ApiRoute(
        "PATCH",
        "/v1/callback/{name}",
        callbacks.patch_callback,
        Described(
            "Patch a callback", CallbackAnswer, Body(CallbackSpec, Name.IGNORED, is_patch=True)
        ),
        needs=Role.ADMIN,
    ),
    ApiRoute(
        "DELETE",
        "/v1/callback/{name}",
        callbacks.delete_callback,
        Described("Delete a callback"),
        needs=Role.ADMIN,
    ),
    ApiRoute(
        "POST",
        "/v1/callback/{name}/retry",
        callbacks.retry_callback,
        Described("Try again what a callback could not be told", CallbackAnswer),
    ),
    ApiRoute(
        "GET",
        "/v1/certificates",
        certificates.list_certificates,
        Described(
            "List certificates of nodes that end",
            Listed[CertificateAnswer],
            query=ENDING,
            refusals=(404,),
        ),
    ),
    *EVENT_ROUTES,
    *OVERVIEW_ROUTES,
    *REVISION_ROUTES,
    *ACCESS_ROUTES,
)
