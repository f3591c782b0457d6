"""Apps: the handlers of their own, and rows of the route table."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from cloud.answers.apps import AppAnswer, AppRegistry
from cloud.answers.common import AppSummary
from cloud.core.app import App, AppSpec
from cloud.core.kinds import APP
from cloud.core.permissions import Permission
from cloud.operations import apps, registries
from cloud.operations.kinds import APPS
from cloud.rest.answers import app_summary
from cloud.rest.auth import caller_of
from cloud.rest.context import RequestContext, ResourceResponse
from cloud.rest.crud import Crud, crud_routes
from cloud.rest.described import COPIED
from cloud.rest.route import ApiRoute
from cloud.store.transaction import Transaction

_SUMMARY = AppSummary.__struct_fields__
_OF_SPEC = tuple(
    name
    for name in AppAnswer.__struct_fields__
    if name in AppSpec.__struct_fields__ and name not in {*_SUMMARY, "registries"}
)


def app_answer(app: App, registry_versions: Mapping[str, str]) -> AppAnswer:
    """An app; the registries it names with their versions."""
    spec = app.spec
    return AppAnswer(
        **msgspec.structs.asdict(app_summary(app)),
        select=spec.selector,
        registries=[
            AppRegistry(ref.name, registry_versions.get(ref.name, "")) for ref in spec.registries
        ],
        **{name: getattr(spec, name) for name in _OF_SPEC},
    )


def _respond(_: RequestContext, tx: Transaction, app: App) -> ResourceResponse[AppAnswer]:
    """An app's tag leaves out the versions of its registries."""
    answer = app_answer(app, registries.registry_versions(tx, app))
    return ResourceResponse(answer, app, is_whole=not app.spec.registries)


def _copied(
    context: RequestContext, tx: Transaction, content: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Absent fields of the body are taken from the app that `from` names."""
    source = _source(context, "from")
    if not source:
        return content
    copied = apps.existing_app(tx, context.namespace, source).spec
    return {**msgspec.to_builtins(copied), **content}


def _source(context: RequestContext, parameter: str) -> str:
    """The app that the query names, empty for none; Forbidden for who may not read it."""
    name = context.query(parameter)
    if name:
        needed = Permission("read", APP.plural, name)
        caller_of(context.request).check(needed, context.namespace)
    return name


def _completed(app: App, content: Mapping[str, Any]) -> Mapping[str, Any]:
    """The type may be left out, as the page does."""
    return {"type": app.spec.type.value, **content}


def _create(context: RequestContext, tx: Transaction, name: str, spec: AppSpec) -> App:
    return apps.create_app(
        tx,
        context.namespace,
        name,
        spec,
        now=context.now,
        runtimes=context.api.function_runtimes,
        base=_source(context, "base"),
    )


APP_ROUTES: Sequence[ApiRoute] = crud_routes(
    Crud(
        APPS,
        lambda _, app: app_summary(app),
        AppSummary,
        _respond,
        AppAnswer,
        copied=_copied,
        completed=_completed,
        create=_create,
    ),
    query=COPIED,
)
