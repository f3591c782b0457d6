"""A Compose file as the manifests of one app, and of a job for each service that runs once."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from edgesync.compose.files import Files, valid_name
from edgesync.compose.services import RESTART, ServiceConverter
from edgesync.compose.source import ComposeError, ComposeFile, ComposeNote, FieldPath

_TOP_LEVEL = frozenset({"version", "name", "services", "volumes", "configs", "secrets"})
_COMPLETED = "service_completed_successfully"


@dataclass(frozen=True, slots=True)
class Project:
    """The manifests in the order in which they are applied, and what they do not carry over."""

    manifests: Sequence[dict[str, Any]]
    notes: Sequence[ComposeNote]


@dataclass(frozen=True, slots=True)
class _Needs:
    """Names of the services that one depends on, with the condition of each."""

    conditions: Mapping[str, str]

    @property
    def completed(self) -> set[str]:
        return {name for name, condition in self.conditions.items() if condition == _COMPLETED}


def convert_project(
    source: ComposeFile,
    *,
    app: str,
    selector: str,
    profiles: frozenset[str],
    only: Sequence[str] = (),
    volumes_folder: str,
    variables: Mapping[str, str],
) -> Project:
    """Convert the services of *source* that *profiles* switch on into the app *app*.

    Where there are names in *only*, just those services and what they depend on.
    ComposeError, with the line, for what cannot be read.
    """
    for key in source.data:
        if key == "networks":
            _note_networks(source)
        elif key in {"include", "extends"}:
            raise source.error((key,), "resolve it first: docker compose config")
        elif key not in _TOP_LEVEL and not key.startswith("x-"):
            source.lose((key,), "not carried over: an app has nothing like it")
    services = _chosen(source, profiles)
    if not services:
        raise source.error(("services",), "no service is switched on; choose one with --profile")
    needs = {name: _needs(source, name, services) for name in services}
    for name in set(only) - set(services):
        raise source.error(("services",), f"no service {name!r}, or it is not switched on")
    order = _ordered(source, needs, only or list(needs))
    services, needs = {n: services[n] for n in order}, {n: needs[n] for n in order}
    files = Files(source, app, volumes_folder.rstrip("/"), variables)
    convert = ServiceConverter(source, files, variables)
    once = _run_once(services, needs)
    first = [name for name in order if name in once and needs[name].conditions.keys() <= once]
    jobs = [name for name in order if name in once and name not in first]
    made = {name: convert.service(name, services[name], _image(source, app, name, services[name]))
            for name in order}  # fmt: skip
    main = [made[name] for name in order if name not in once]
    body: dict[str, Any] = {"kind": "App", "name": app, "selector": selector}
    if main:
        before = {"initServices": [made[name] for name in first]} if first else {}
        apps = [{**body, **before, "services": main}]
    else:
        jobs, apps = [*first, *jobs], []
    _note_order(source, needs, {*first})
    for name in jobs:
        if main:
            source.differ(("services", name), "runs once after others: becomes an app of its own")
        own = {"name": app if not main and len(jobs) == 1 else valid_name(f"{app}-{name}")}
        # What it needs may come up after it.
        service = {**made[name], "restart": {"policy": "OnFailure"}}
        apps.append({**body, **own, "workload": "job", "services": [service]})
    manifests = [*files.manifests.values(), *(_with_volumes(one, files.volumes) for one in apps)]
    return Project(manifests, _folded(source.notes))


def _chosen(source: ComposeFile, profiles: frozenset[str]) -> dict[str, dict[str, Any]]:
    chosen: dict[str, dict[str, Any]] = {}
    for name, fields in source.mapping(("services",), source.data.get("services")).items():
        path: FieldPath = ("services", name)
        service = source.mapping(path, fields)
        wanted = set(source.texts((*path, "profiles"), service.get("profiles")))
        if wanted and not wanted & profiles and "*" not in profiles:
            continue
        if "extends" in service:
            raise source.error((*path, "extends"), "resolve it first: docker compose config")
        if valid_name(name) != name or "." in name:
            raise source.error(
                path,
                f"rename it to {valid_name(name)!r}: a service's name is the host name by which"
                " the others reach it",
            )
        chosen[name] = service
    return chosen


def _needs(source: ComposeFile, name: str, services: Mapping[str, Any]) -> _Needs:
    path: FieldPath = ("services", name, "depends_on")
    value = services[name].get("depends_on")
    if isinstance(value, dict):
        conditions = {
            one: str(source.mapping((*path, one), value[one]).get("condition", "service_started"))
            for one in value
        }
    else:
        conditions = dict.fromkeys(source.texts(path, value), "service_started")
    for one in conditions.keys() - services.keys():
        raise source.error(path, f"service {one!r} is not there or not switched on")
    return _Needs(conditions)


def _ordered(source: ComposeFile, needs: Mapping[str, _Needs], names: Sequence[str]) -> list[str]:
    """*names* and those they depend on, so that each follows those it depends on."""
    found: dict[str, None] = {}
    visiting: set[str] = set()

    def visit(name: str) -> None:
        if name in found:
            return
        if name in visiting:
            raise source.error(("services", name, "depends_on"), "services wait for each other")
        visiting.add(name)
        for one in needs[name].conditions:
            visit(one)
        found[name] = None

    for name in names:
        visit(name)
    return list(found)


def _run_once(services: Mapping[str, dict[str, Any]], needs: Mapping[str, _Needs]) -> set[str]:
    """Services whose end others wait for."""
    waited = {one for each in needs.values() for one in each.completed}
    return {name for name in waited if _policy(services[name]) != "Always"}


def _policy(service: Mapping[str, Any]) -> str:
    word = service.get("restart", "no")
    return RESTART.get(str(word).lower().partition(":")[0], "Never")


def _note_order(source: ComposeFile, needs: Mapping[str, _Needs], first: set[str]) -> None:
    for name, each in needs.items():
        for one, condition in each.conditions.items():
            if one not in first:
                path: FieldPath = ("services", name, "depends_on", one)
                wait = "starts after it" if condition == "service_started" else "does not wait"
                source.differ(path, f"{name} {wait}; it has to try again until {one} answers")


def _folded(notes: Sequence[ComposeNote]) -> list[ComposeNote]:
    """*notes* by line; what several services merge from one line is noted once."""
    found: dict[tuple[int, str, str], list[ComposeNote]] = {}
    for note in sorted(notes, key=lambda one: one.line):
        found.setdefault((note.line, note.path.rpartition(".")[2], note.text), []).append(note)
    return [
        replace(same[0], path=f"{same[0].path} (and {len(same) - 1} more)")
        if len(same) > 1
        else same[0]
        for same in found.values()
    ]


def _note_networks(source: ComposeFile) -> None:
    for name in source.mapping(("networks",), source.data["networks"]):
        if name != "default":
            source.differ(("networks", name), "all services of the app share one network")


def _image(source: ComposeFile, app: str, name: str, service: Mapping[str, Any]) -> str:
    path: FieldPath = ("services", name, "build")
    image = service.get("image")
    if "build" not in service:
        if not image:
            raise source.error(("services", name), "needs an image")
        return str(image)
    built = str(image or f"{app}-{name}")
    source.lose(path, f"nodes build nothing: push {built} to a registry that they reach")
    return built


def _with_volumes(app: dict[str, Any], volumes: Mapping[str, Any]) -> dict[str, Any]:
    used = set(_mounted(app))
    named = [{"name": name, **volumes[name]} for name in volumes if name in used]
    return {**app, **({"volumes": named} if named else {})}


def _mounted(app: Mapping[str, Any]) -> Iterator[str]:
    for service in [*app.get("initServices", []), *app["services"]]:
        for mount in service.get("volumeMounts", []):
            yield mount["name"]


__all__ = ["ComposeError", "Project", "convert_project"]
