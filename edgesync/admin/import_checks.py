"""Dry run of an import: which resources would be refused, and which apps it would stop."""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from cloud.core.app import AppSpec, FunctionConfig, uses_of
from cloud.core.batch import BatchSpec, Record, checked_record
from cloud.core.decoding import convert
from cloud.core.node import effective_labels
from cloud.core.selectors import matches, parse_selector
from cloud.core.system_apps import is_system
from cloud.errors import CloudError, Invalid, QuotaExceeded
from edgesync.admin.baetyl_shapes import CannotTake, Json
from edgesync.client.client import Client
from edgesync.client.errors import ApiError

_TRY = {"dryRun": "true"}
_ANY_TIME = datetime.min.replace(tzinfo=UTC)


class ImportDryRun:
    """A dry run: the server tries out each call; what it lacks may be made by one before."""

    def __init__(self, server: Client) -> None:
        self._server = server
        # Kind and name of what the calls before would have made.
        self._made: set[tuple[str, str]] = set()
        # Of each batch that would have been made: its quota, and the records it would have.
        self._quotas: dict[str, int] = {}
        self._records: dict[str, set[str]] = {}

    def create(self, kind: str, name: str, where: str, body: Json) -> None:
        """Try a POST; ApiError or CannotTake where the real one would be refused."""
        try:
            self._try("POST", where, body)
        except ApiError as refusal:
            if refusal.status != 404 or not self._awaits(kind, where, body, refusal):
                raise
        self._made.add((kind, name))
        if kind == "batches":
            spec = convert({key: body[key] for key in body if key != "name"}, BatchSpec)
            self._quotas[name] = spec.quota_num

    def update(self, path: str, body: Json) -> bool:
        """Try a PUT; return whether it would change anything."""
        return bool(self._try("PUT", path, body)["changes"])

    def configure(self, node: str, path: str, body: Json, check: Callable[[], object]) -> None:
        """Try a PUT of a part of *node*; *check* stands for it while the node is not there yet."""
        if ("nodes", node) not in self._made:
            self._try("PUT", path, body)
            return
        _checked(check)

    def _try(self, method: str, path: str, body: Json) -> Any:
        plan = self._server.call(method, path, body=body, query=_TRY)
        if plan["confirm"]:
            raise CannotTake(plan["message"])
        return plan

    def _awaits(self, kind: str, where: str, body: Json, refusal: ApiError) -> bool:
        """Whether all that the server lacks for this would have been made before."""
        if kind == "apps":
            return not refusal.field.endswith(".runtime") and self._has_all(body)
        batch = where.split("/")[-2] if kind == "records" else ""
        if ("batches", batch) not in self._made:
            return False
        self._check_record(batch, body)
        return True

    def _has_all(self, body: Json) -> bool:
        spec = convert({key: body[key] for key in body if key != "name"}, AppSpec)
        needed = {(use.kind.plural, use.name) for use in uses_of(spec)}
        needed |= {
            ("configs", service.function_config.name)
            for service in spec.services
            if isinstance(service.function_config, FunctionConfig)
        }
        for kind, name in sorted(needed - self._made):
            self._server.call("GET", f"/v1/{kind}/{quote(name, safe='')}")
        return bool(needed & self._made)

    def _check_record(self, batch: str, body: Json) -> None:
        held = self._records.setdefault(batch, set())
        fingerprint = str(body.get("fingerprintValue") or body["name"])
        node = body.get("nodeName") or fingerprint.lower()
        record = Record(
            "default", batch, str(body["name"]), fingerprint, node, _ANY_TIME, _ANY_TIME
        )

        def check() -> None:
            checked_record(record)
            if fingerprint.casefold() in held:
                raise Invalid("fingerprintValue", "this fingerprint is already in use")
            if len(held) >= self._quotas[batch]:
                raise QuotaExceeded(batch, self._quotas[batch])

        _checked(check)
        held.add(fingerprint.casefold())


@dataclass(slots=True)
class Moves:
    """The apps that nodes run there, and those they would receive here once they move."""

    _nodes: dict[str, tuple[Mapping[str, str], Collection[str]]] = field(default_factory=dict)
    _selectors: dict[str, str] = field(default_factory=dict)

    def see_node(self, name: str, labels: Mapping[str, str], node: Json) -> None:
        """Note the labels that *name* has here, and the apps that baetyl-cloud shows of it."""
        lists = [(node.get(part) or {}).get("apps") or [] for part in ("desire", "report")]
        apps = dict.fromkeys(str(app.get("name", "")) for part in lists for app in part)
        own = [app for app in apps if app and not is_system(app)]
        self._nodes[name] = (effective_labels(name, labels), own)

    def see_app(self, name: str, selector: str) -> None:
        """Note an app that there will be here."""
        self._selectors[name] = selector

    def stopped(self, here: Client) -> Iterator[tuple[str, str]]:
        """Each app that nodes run and would not be given here, and in words on which and why."""
        stops: dict[str, list[str]] = {}
        for node, (labels, apps) in self._nodes.items():
            for app in apps:
                selector = self._selector(app, here)
                if not (selector and matches(parse_selector(selector), labels)):
                    stops.setdefault(app, []).append(node)
        for app, nodes in sorted(stops.items()):
            selector = self._selectors[app]
            why = f"its selector is {selector!r}" if selector else "it is for no node here"
            more = f" and {len(nodes) - _NODES_SHOWN} more" if len(nodes) > _NODES_SHOWN else ""
            yield app, f"on {', '.join(nodes[:_NODES_SHOWN])}{more}: {why}"

    def _selector(self, app: str, here: Client) -> str:
        if app not in self._selectors:
            try:
                found = here.call("GET", f"/v1/apps/{quote(app, safe='')}")
                self._selectors[app] = str(found["selector"])
            except ApiError:
                self._selectors[app] = ""
        return self._selectors[app]


_NODES_SHOWN = 5


def _checked(check: Callable[[], object]) -> None:
    try:
        check()
    except CloudError as error:
        raise CannotTake(str(error)) from error
