"""The two clients, and what both have."""

import copy
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from cloud.core.kinds import KINDS, ResourceKind
from edgesync.client.access import DEFAULT_URL, Access, access_by_environment, new_access
from edgesync.client.calls import Calls, Json, given
from edgesync.client.engines import BlockingEngine
from edgesync.client.methods import ApiIterator, ApiMethod, ApiPart
from edgesync.client.resources import KindResources, ResourceForms, SingleResource
from edgesync.client.steps import DEFAULT_RETRIES, Items, Retries, Steps
from edgesync.client.watching import NO_HOOKS, WatchHooks, watched

if TYPE_CHECKING:
    from cloud.answers.audit import EntryAnswer
    from cloud.answers.certificates import CertificateAnswer
    from cloud.answers.events import EventAnswer
    from cloud.answers.guard import GuardAnswer
    from cloud.answers.namespaces import NamespaceAnswer
    from cloud.answers.overview import OverviewAnswer
    from cloud.answers.system_apps import SystemAppsAnswer
    from cloud.answers.trends import TrendsAnswer
    from cloud.core.guard import GuardSpec
    from cloud.core.system_apps import SystemAppsSpec
    from edgesync.client import node_resources, nouns
    from edgesync.client.async_engine import AsyncEngine

E = TypeVar("E", bound="BlockingEngine | AsyncEngine")

TIMEOUT_SECONDS = 30.0
"""How long an answer may take by default."""

PLAIN: ResourceForms[Json, Json, Json] = ResourceForms(dict, dict, dict)
"""Resources as plain data, with the names of the API."""


class ApiClient(ApiPart[E]):
    """What both clients have.

    *url* is that of the REST API; *ca* the file of the server's CA certificate, where that is not
    in the system's trust store. *timeout* is the seconds that an answer may take. AccessError where
    one of them cannot be used, or a *token* would be sent unencrypted to another machine.

    The kinds with types are loaded when they are first asked for: the command line, which shows
    what the server sends as it is, does without.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        token: str = "",
        ca: str | Path | None = None,
        namespace: str = "",
        timeout: float = TIMEOUT_SECONDS,
        retries: Retries = DEFAULT_RETRIES,
    ) -> None:
        self._open(new_access(url, token, ca, namespace), timeout, retries)

    @classmethod
    def from_context(
        cls,
        name: str | None = None,
        *,
        timeout: float = TIMEOUT_SECONDS,
        retries: Retries = DEFAULT_RETRIES,
    ) -> Self:
        """A client for a context of the command line (`edgesync login`), by default the current.

        As there EDGESYNC_URL, EDGESYNC_CA, EDGESYNC_TOKEN, EDGESYNC_TOKEN_FILE and
        EDGESYNC_CONTEXT count where they are set. AccessError where there is no token.
        """
        return cls.from_access(access_by_environment(name), timeout=timeout, retries=retries)

    @classmethod
    def from_access(
        cls,
        access: Access,
        *,
        timeout: float = TIMEOUT_SECONDS,
        retries: Retries = DEFAULT_RETRIES,
    ) -> Self:
        """A client for an *access* that was found otherwise."""
        client = cls.__new__(cls)
        client._open(access, timeout, retries)
        return client

    def _open(self, access: Access, timeout: float, retries: Retries) -> None:
        calls = Calls(
            str(access.url).rstrip("/"),
            namespace=access.namespace,
            retries=retries,
            source=access.source,
        )
        super().__init__(self._new_engine(access, timeout), calls)

    @abstractmethod
    def _new_engine(self, access: Access, timeout: float) -> E:
        """The engine of this client."""

    @property
    def url(self) -> str:
        """The address of the server."""
        return self._calls.url

    @property
    def namespace(self) -> str:
        """The namespace that calls are about; empty: the token's."""
        return self._calls.namespace

    def with_options(
        self,
        *,
        namespace: str | None = None,
        reason: str | None = None,
        confirm: bool | None = None,
        retries: Retries | None = None,
    ) -> Self:
        """A client with other options, on the same connections: close the one it is made of.

        *namespace* is what calls are about; *reason* stands in the audit log and in revisions;
        *confirm* overrides the guard's limit on affected nodes.
        """
        changed: dict[str, Any] = {
            "namespace": namespace,
            "reason": reason,
            "confirm": confirm,
            "retries": retries,
        }
        other = copy.copy(self)
        present = {name: value for name, value in changed.items() if value is not None}
        other._calls = replace(self._calls, **present)
        return other

    def within(self, namespace: str) -> Self:
        """A client for another *namespace*, on the same connections; empty: this one."""
        return self.with_options(namespace=namespace or None)

    @ApiMethod
    def call(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Steps[Any]:
        """Content of the answer to any call of the API, as plain data; *body* is plain data too."""
        return self._calls.json(method, path, body=body, query=query, headers=headers)

    @ApiMethod
    def text(self, path: str) -> Steps[str]:
        """The text of an answer that is no JSON."""
        answer = yield from self._calls.ask(self._calls.request("GET", path))
        return answer.content.decode(errors="replace")

    @ApiIterator
    def pages(self, path: str, query: Mapping[str, str] | None = None) -> Items[dict[str, Any]]:
        """All items of the list at *path*, as plain data."""
        return self._calls.listed(path, query or {}, dict)

    def kind(
        self, kind: ResourceKind | str, parent: str = ""
    ) -> KindResources[E, Json, Json, Json]:
        """The resources of any kind, as plain data; records are below the batch *parent*.

        KeyError for a word that names no kind.
        """
        known = KINDS.named(kind) if isinstance(kind, str) else kind
        if known is None:
            raise KeyError(kind)
        return KindResources(self._engine, self._calls, known, PLAIN, parent)

    @property
    def apps(self) -> "nouns.AppResources[E]":
        """Apps: workloads of nodes."""
        from edgesync.client.nouns import AppResources

        return AppResources(self._engine, self._calls)

    @property
    def nodes(self) -> "node_resources.NodeResources[E]":
        """Nodes: machines that run apps."""
        from edgesync.client.node_resources import NodeResources

        return NodeResources(self._engine, self._calls)

    @property
    def configs(self) -> "nouns.ConfigResources[E]":
        """Configs: files that apps mount."""
        from edgesync.client.nouns import ConfigResources

        return ConfigResources(self._engine, self._calls)

    @property
    def secrets(self) -> "nouns.SecretResources[E]":
        """Secrets: sensitive values that apps mount."""
        from edgesync.client.nouns import SecretResources

        return SecretResources(self._engine, self._calls)

    @property
    def registries(self) -> "nouns.RegistryResources[E]":
        """Registries: credentials with which nodes pull images."""
        from edgesync.client.nouns import RegistryResources

        return RegistryResources(self._engine, self._calls)

    @property
    def batches(self) -> "nouns.BatchResources[E]":
        """Batches: devices that may activate."""
        from edgesync.client.nouns import BatchResources

        return BatchResources(self._engine, self._calls)

    @property
    def callbacks(self) -> "nouns.CallbackResources[E]":
        """Callbacks: signed HTTP requests that report events."""
        from edgesync.client.nouns import CallbackResources

        return CallbackResources(self._engine, self._calls)

    @property
    def channels(self) -> "nouns.ChannelResources[E]":
        """Channels: where notifications are sent."""
        from edgesync.client.nouns import ChannelResources

        return ChannelResources(self._engine, self._calls)

    @property
    def notification_rules(self) -> "nouns.NotificationRuleResources[E]":
        """Rules of notifications: which events are sent by which channels."""
        from edgesync.client.nouns import NotificationRuleResources

        return NotificationRuleResources(self._engine, self._calls)

    @property
    def roles(self) -> "nouns.RoleResources[E]":
        """Roles of a namespace: permissions under a name."""
        from edgesync.client.nouns import RoleResources

        return RoleResources(self._engine, self._calls)

    @property
    def rollout_policies(self) -> "nouns.RolloutPolicyResources[E]":
        """Policies of rollouts: in which stages new versions of apps reach nodes."""
        from edgesync.client.nouns import RolloutPolicyResources

        return RolloutPolicyResources(self._engine, self._calls)

    @property
    def guard(self) -> "SingleResource[E, GuardSpec, GuardAnswer]":
        """How many nodes one change may affect without being confirmed."""
        from edgesync.client.nouns import guard_of

        return guard_of(self._engine, self._calls)

    @property
    def system_apps(
        self,
    ) -> "SingleResource[E, SystemAppsSpec, SystemAppsAnswer]":
        """The system apps of all nodes."""
        from edgesync.client.nouns import system_apps_of

        return system_apps_of(self._engine, self._calls)

    @property
    def tokens(self) -> "nouns.ApiTokens[E]":
        """Tokens of the API."""
        from edgesync.client.nouns import ApiTokens

        return ApiTokens(self._engine, self._calls)

    @ApiMethod
    def overview(self) -> "Steps[OverviewAnswer]":
        """The namespace at a glance."""
        from cloud.answers.overview import OverviewAnswer
        from edgesync.client.typed import as_a

        return as_a(OverviewAnswer)((yield from self._calls.json("GET", "/v1/overview")))

    @ApiMethod
    def trends(self, *, hours: int | None = None) -> "Steps[TrendsAnswer]":
        """Nodes online and converged, and reports, of so many last hours."""
        from cloud.answers.trends import TrendsAnswer
        from edgesync.client.typed import as_a

        content = yield from self._calls.json("GET", "/v1/trends", query=given(hours=hours))
        return as_a(TrendsAnswer)(content)

    @ApiIterator
    def audit(self, query: Mapping[str, str] | None = None) -> "Items[EntryAnswer]":
        """Entries of the audit log, the newest first; *query* as `{"action": "app.update"}`."""
        from cloud.answers.audit import EntryAnswer
        from edgesync.client.typed import as_a

        return self._calls.listed("/v1/audit", query or {}, as_a(EntryAnswer))

    @ApiIterator
    def namespaces(self) -> "Items[NamespaceAnswer]":
        """The namespaces that the token may see, with how much there is in each."""
        from cloud.answers.namespaces import NamespaceAnswer
        from edgesync.client.typed import as_a

        return self._calls.listed("/v1/namespaces", {}, as_a(NamespaceAnswer))

    @ApiIterator
    def certificates(self, *, ends_before: str = "", node: str = "") -> "Items[CertificateAnswer]":
        """Certificates of nodes that end before a time (RFC 3339), by default in 30 days."""
        from cloud.answers.certificates import CertificateAnswer
        from edgesync.client.typed import as_a

        query = given(endsBefore=ends_before, node=node)
        return self._calls.listed("/v1/certificates", query, as_a(CertificateAnswer))

    @ApiIterator
    def events(
        self, *, types: str = "", kind: str = "", name: str = "", since: str = ""
    ) -> "Items[EventAnswer]":
        """Stored events, the newest first: of *types* like `node.*,app.updated`, of one resource.

        *since* is a time (RFC 3339) or the id of an event.
        """
        query = given(type=types, kind=kind, name=name, since=since)
        return self._calls.listed("/v1/events", query, _event_of())

    @ApiIterator
    def watch(
        self,
        *,
        types: str = "",
        kind: str = "",
        name: str = "",
        after: str = "",
        hooks: WatchHooks = NO_HOOKS,
    ) -> "Items[EventAnswer]":
        """Events as they happen, without end; those after the event with the id *after* first.

        After a lost connection it connects again, and those that were missed come first.
        """
        read = _event_of()
        query = given(type=types, kind=kind, name=name)
        return watched(self._calls, query, after, hooks, read)

    @ApiIterator
    def watch_plain(
        self, query: Mapping[str, str], *, after: str = "", hooks: WatchHooks = NO_HOOKS
    ) -> Items[dict[str, Any]]:
        """As `watch`, by the *query* of the API, with events as plain data."""
        return watched(self._calls, query, after, hooks, dict)


class Client(ApiClient[BlockingEngine]):
    """A client whose methods wait for the answer; several threads may use it."""

    def _new_engine(self, access: Access, timeout: float) -> BlockingEngine:
        return BlockingEngine(access, timeout)

    def close(self) -> None:
        """Close the connections."""
        self._engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class AsyncClient(ApiClient["AsyncEngine"]):
    """A client for asyncio: its methods are awaited, or iterated with `async for`."""

    def _new_engine(self, access: Access, timeout: float) -> "AsyncEngine":
        from edgesync.client.async_engine import AsyncEngine

        return AsyncEngine(access, timeout)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._engine.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()


def _event_of() -> "Callable[[Any], EventAnswer]":
    from cloud.answers.events import EventAnswer
    from edgesync.client.typed import as_a

    return as_a(EventAnswer)
