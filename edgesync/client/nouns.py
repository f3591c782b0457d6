"""The kinds of the API with their types, and what each has beside list, get, put and so on."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from urllib.parse import quote

from cloud.answers.app_nodes import AppNodeAnswer
from cloud.answers.apps import AppAnswer
from cloud.answers.batches import BatchAnswer, BatchSummary, RefusedDeviceAnswer
from cloud.answers.callbacks import CallbackAnswer, CallbackSummary
from cloud.answers.channels import ChannelAnswer, ChannelSummary, ChannelTestAnswer
from cloud.answers.common import AppSummary
from cloud.answers.configs import ConfigAnswer, ConfigSummary
from cloud.answers.custom_roles import RoleAnswer
from cloud.answers.guard import GuardAnswer
from cloud.answers.notification_rules import NotificationRuleSummary
from cloud.answers.overview import RolloutAnswer
from cloud.answers.records import FingerprintsAnswer, RecordAnswer
from cloud.answers.registries import RegistryAnswer
from cloud.answers.rollouts import RolloutPolicyAnswer
from cloud.answers.secrets import SecretAnswer, SecretSummary
from cloud.answers.system_apps import SystemAppsAnswer
from cloud.answers.tokens import NewTokenAnswer, TokenAnswer
from cloud.core.app import AppSpec
from cloud.core.batch import BatchSpec
from cloud.core.callback import CallbackSpec
from cloud.core.channel import ChannelSpec
from cloud.core.config import ConfigSpec
from cloud.core.custom_role import RoleSpec
from cloud.core.guard import GuardSpec
from cloud.core.kinds import (
    APP,
    BATCH,
    CALLBACK,
    CHANNEL,
    CONFIG,
    GUARD,
    NOTIFICATION_RULE,
    RECORD,
    REGISTRY,
    ROLE,
    ROLLOUT_POLICY,
    SECRET,
    SYSTEM_APPS,
)
from cloud.core.notification_rule import NotificationRuleSpec
from cloud.core.registry import RegistrySpec
from cloud.core.rollout_policy import RolloutPolicySpec
from cloud.core.secret import SecretSpec
from cloud.core.system_apps import SystemAppsSpec
from cloud.core.tokens import Role
from edgesync.client.calls import Calls, Json, given
from edgesync.client.engines import BlockingEngine
from edgesync.client.methods import ApiIterator, ApiMethod, ApiPart
from edgesync.client.resources import (
    LOOK_EVERY_SECONDS,
    KindResources,
    SingleResource,
)
from edgesync.client.steps import Items, Steps
from edgesync.client.typed import as_a, forms_of
from edgesync.client.waiting import app_converged

if TYPE_CHECKING:
    from edgesync.client.async_engine import AsyncEngine

from edgesync.client.typed_resources import (
    WAIT_SECONDS,
    RevisionedResources,
    TypedResources,
    UsedResources,
)

E = TypeVar("E", bound="BlockingEngine | AsyncEngine")
S = TypeVar("S")
O = TypeVar("O")  # noqa: E741  # one
I = TypeVar("I")  # noqa: E741  # item


class AppResources(RevisionedResources[E, AppSpec, AppAnswer, AppSummary]):
    """Apps: workloads of nodes."""

    def __init__(self, engine: E, calls: Calls) -> None:
        super().__init__(engine, calls, APP, forms_of(APP, AppSpec, AppAnswer, AppSummary))

    @ApiMethod
    def rollout(self, name: str) -> Steps[RolloutAnswer]:
        """How many nodes run it, failed with it, or are still to come; causes of failures."""
        content = yield from self._calls.json("GET", self._path(name, "rollout"))
        return as_a(RolloutAnswer)(content)

    @ApiIterator
    def nodes(self, name: str, *, status: str = "", selector: str = "") -> Items[AppNodeAnswer]:
        """Its nodes: running, failed with the cause, or pending; by *status* and labels."""
        query, path = given(status=status, selector=selector), self._path(name, "nodes")
        return self._calls.listed(path, query, as_a(AppNodeAnswer))

    @ApiMethod
    def wait(
        self, name: str, *, timeout: float = WAIT_SECONDS, every: float = LOOK_EVERY_SECONDS
    ) -> Steps[RolloutAnswer]:
        """Wait until all its nodes run it.

        RolloutFailed, with the causes, once nodes failed and no other is still to come;
        WaitTimeout after *timeout* seconds. It looks *every* so many seconds.
        """
        content = yield from app_converged(
            self._calls, self._path(name), timeout=timeout, every=every
        )
        return as_a(RolloutAnswer)(content)


class ConfigResources(UsedResources[E, ConfigSpec, ConfigAnswer, ConfigSummary]):
    """Configs: files that apps mount."""

    def __init__(self, engine: E, calls: Calls) -> None:
        forms = forms_of(CONFIG, ConfigSpec, ConfigAnswer, ConfigSummary)
        super().__init__(engine, calls, CONFIG, forms)


class SecretResources(UsedResources[E, SecretSpec, SecretAnswer, SecretSummary]):
    """Secrets: sensitive values that apps mount."""

    def __init__(self, engine: E, calls: Calls) -> None:
        forms = forms_of(SECRET, SecretSpec, SecretAnswer, SecretSummary)
        super().__init__(engine, calls, SECRET, forms)


class RegistryResources(UsedResources[E, RegistrySpec, RegistryAnswer, RegistryAnswer]):
    """Registries: credentials with which nodes pull images."""

    def __init__(self, engine: E, calls: Calls) -> None:
        forms = forms_of(REGISTRY, RegistrySpec, RegistryAnswer, RegistryAnswer)
        super().__init__(engine, calls, REGISTRY, forms)

    @ApiMethod
    def refresh(self, name: str, password: str) -> Steps[RegistryAnswer]:
        """Replace the password; `put` changes the description alone."""
        path = self._path(name, "refresh")
        return (yield from self._one("POST", path, body={"password": password})).value


class CallbackResources(TypedResources[E, CallbackSpec, CallbackAnswer, CallbackSummary]):
    """Callbacks: signed HTTP requests that report events."""

    def __init__(self, engine: E, calls: Calls) -> None:
        forms = forms_of(CALLBACK, CallbackSpec, CallbackAnswer, CallbackSummary)
        super().__init__(engine, calls, CALLBACK, forms)

    @ApiMethod
    def retry(self, name: str) -> Steps[CallbackAnswer]:
        """Send again what was given up."""
        return (yield from self._one("POST", self._path(name, "retry"))).value


class BatchResources(TypedResources[E, BatchSpec, BatchAnswer, BatchSummary]):
    """Batches: devices that may activate."""

    def __init__(self, engine: E, calls: Calls) -> None:
        forms = forms_of(BATCH, BatchSpec, BatchAnswer, BatchSummary)
        super().__init__(engine, calls, BATCH, forms)

    @ApiMethod
    def install_command(self, name: str) -> Steps[str]:
        """A shell command that brings in a device of this batch; it works once, for an hour."""
        return str((yield from self._calls.json("GET", self._path(name, "init")))["cmd"])

    @ApiMethod
    def generate(self, name: str, count: int) -> Steps[FingerprintsAnswer]:
        """Create *count* records with new fingerprints."""
        path, body = self._path(name, "generate"), {"num": count}
        content = yield from self._calls.json("POST", path, body=body)
        return as_a(FingerprintsAnswer)(content)

    @ApiMethod
    def refused(self, name: str) -> Steps[list[RefusedDeviceAnswer]]:
        """Devices that it refused, with the failed check and what to do; the last first."""
        content = yield from self._calls.json("GET", self._path(name, "refused"))
        return as_a(list[RefusedDeviceAnswer])(content["items"])

    def records(self, batch: str) -> "RecordResources[E]":
        """The devices of *batch*."""
        return RecordResources(self._engine, self._calls, batch)


class RecordResources(KindResources[E, Json, RecordAnswer, RecordAnswer], Generic[E]):
    """Records: the devices of one batch. A spec has `fingerprintValue` and `nodeName`."""

    def __init__(self, engine: E, calls: Calls, batch: str) -> None:
        forms: Any = forms_of(RECORD, RecordAnswer, RecordAnswer, RecordAnswer)
        super().__init__(engine, calls, RECORD, forms, batch)

    @ApiMethod
    def reset(self, name: str) -> Steps[RecordAnswer]:
        """Let another device activate with it; certificates of the last one are revoked."""
        return (yield from self._one("POST", self._path(name, "reset"))).value


class ApiTokens(ApiPart[E]):
    """Tokens of the API."""

    @ApiIterator
    def list(self, *, namespace: str = "") -> Items[TokenAnswer]:
        """The tokens of a *namespace*, of all with `*`; by default of the client's."""
        return self._calls.listed("/v1/tokens", given(namespace=namespace), as_a(TokenAnswer))

    @ApiMethod
    def create(
        self,
        name: str,
        role: Role | str,
        *,
        namespace: str = "",
        expires: str = "",
        permissions: Sequence[str] = (),
        nodes: str = "",
    ) -> Steps[NewTokenAnswer]:
        """Create a token, which is shown in this answer alone; *expires* is a time (RFC 3339).

        Its role is narrowed to the *permissions*, where there are any, and limited to the nodes
        that the selector *nodes* selects.
        """
        body: dict[str, Any] = {"name": name, "role": str(role)}
        body |= given(namespace=namespace, expires=expires, nodes=nodes)
        if permissions:
            body["permissions"] = [*permissions]
        content = yield from self._calls.json("POST", "/v1/tokens", body=body)
        return as_a(NewTokenAnswer)(content)

    @ApiMethod
    def rotate(
        self, name: str, *, overlap: str = "0", namespace: str = "", expires: str = ""
    ) -> Steps[NewTokenAnswer]:
        """Give a token another secret; the one it has is valid for *overlap* (`1h`) longer."""
        path, query = f"/v1/tokens/{quote(name, safe='')}/rotate", given(namespace=namespace)
        body = {"overlap": overlap, **given(expires=expires)}
        content = yield from self._calls.json("POST", path, body=body, query=query)
        return as_a(NewTokenAnswer)(content)

    @ApiMethod
    def delete(self, name: str, *, namespace: str = "") -> Steps[None]:
        """Revoke a token at once."""
        path, query = f"/v1/tokens/{quote(name, safe='')}", given(namespace=namespace)
        yield from self._calls.json("DELETE", path, query=query)


class ChannelResources(RevisionedResources[E, ChannelSpec, ChannelAnswer, ChannelSummary]):
    """Channels: where notifications are sent."""

    def __init__(self, engine: E, calls: Calls) -> None:
        forms = forms_of(CHANNEL, ChannelSpec, ChannelAnswer, ChannelSummary)
        super().__init__(engine, calls, CHANNEL, forms)

    @ApiMethod
    def test(self, name: str) -> Steps[ChannelTestAnswer]:
        """Send a test message, and return what the receiver answered."""
        content = yield from self._calls.json("POST", self._path(name, "test"))
        return as_a(ChannelTestAnswer)(content)

    @ApiMethod
    def retry(self, name: str) -> Steps[ChannelAnswer]:
        """Send again what was given up."""
        return (yield from self._one("POST", self._path(name, "retry"))).value


class NotificationRuleResources(
    RevisionedResources[E, NotificationRuleSpec, NotificationRuleSummary, NotificationRuleSummary]
):
    """Rules of notifications: which events are sent by which channels."""

    def __init__(self, engine: E, calls: Calls) -> None:
        forms = forms_of(
            NOTIFICATION_RULE,
            NotificationRuleSpec,
            NotificationRuleSummary,
            NotificationRuleSummary,
        )
        super().__init__(engine, calls, NOTIFICATION_RULE, forms)


class RoleResources(RevisionedResources[E, RoleSpec, RoleAnswer, RoleAnswer]):
    """Roles of a namespace: permissions under a name."""

    def __init__(self, engine: E, calls: Calls) -> None:
        forms = forms_of(ROLE, RoleSpec, RoleAnswer, RoleAnswer)
        super().__init__(engine, calls, ROLE, forms)


class RolloutPolicyResources(
    RevisionedResources[E, RolloutPolicySpec, RolloutPolicyAnswer, RolloutPolicyAnswer]
):
    """Policies of rollouts: in which stages new versions of apps reach nodes."""

    def __init__(self, engine: E, calls: Calls) -> None:
        forms = forms_of(
            ROLLOUT_POLICY, RolloutPolicySpec, RolloutPolicyAnswer, RolloutPolicyAnswer
        )
        super().__init__(engine, calls, ROLLOUT_POLICY, forms)


def guard_of(engine: E, calls: Calls) -> SingleResource[E, GuardSpec, GuardAnswer]:
    """How many nodes one change may affect without being confirmed."""
    forms = forms_of(GUARD, GuardSpec, GuardAnswer, GuardAnswer)
    return SingleResource(engine, calls, GUARD, forms)


def system_apps_of(engine: E, calls: Calls) -> SingleResource[E, SystemAppsSpec, SystemAppsAnswer]:
    """The system apps of all nodes."""
    forms = forms_of(SYSTEM_APPS, SystemAppsSpec, SystemAppsAnswer, SystemAppsAnswer)
    return SingleResource(engine, calls, SYSTEM_APPS, forms)
