"""What answers look like, as types: what the OpenAPI document says of them.

`views` makes the answers; a test holds every golden one against these, both ways: a field that is
missing here is as wrong as one that is missing there.
"""

from typing import Any, Generic, TypeVar

import msgspec

from cloud.core.app import AppType, Service, Volume
from cloud.core.audit import Action, ActorKind
from cloud.core.batch import Fingerprint, SecurityType
from cloud.core.callback import Method
from cloud.core.config import ConfigItem
from cloud.core.core_configuration import LogLevel, Mode
from cloud.core.deploys import Outcome
from cloud.core.desired import AppVersion
from cloud.core.system_apps import SystemModule
from cloud.core.tokens import Role

T = TypeVar("T")

Quantity = str | int | float
"""As the server shows it: cpu in cores, memory in bytes; as it came where it cannot be read."""


class _Answer(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """An answer has these fields, all of them and no others."""


class NodeAnswer(_Answer):
    """A node; `ready` says that it reported lately."""

    name: str
    namespace: str
    description: str
    ready: bool
    create_time: str
    labels: dict[str, str]
    annotations: dict[str, str]


class HostAnswer(msgspec.Struct, rename="camel", omit_defaults=True):
    """The machine, as its node reports it; several machines are a map by host name."""

    hostname: str = ""
    address: str = ""
    arch: str = ""
    kernel_ver: str = ""
    os: str = ""
    container_runtime: str = ""
    machine_id: str = msgspec.field(name="machineID", default="")
    boot_id: str = msgspec.field(name="bootID", default="")
    system_uuid: str = msgspec.field(name="systemUUID", default="")
    os_image: str = ""


class HostStatsAnswer(msgspec.Struct):
    """What the machine has and uses, `percent` from 0 to 1; several are a map by host name."""

    usage: dict[str, Quantity] = {}
    capacity: dict[str, Quantity] = {}
    percent: dict[str, Any] = {}


class AppStatsAnswer(msgspec.Struct):
    """How an app does on the node; `instances` is a map by instance name."""

    name: str = ""
    version: str = ""
    status: str = ""
    cause: str = ""
    instances: dict[str, Any] = {}


class ReportAnswer(msgspec.Struct):
    """The node's last report; what the contract does not name is passed on as it came."""

    time: str
    node: HostAnswer
    nodestats: HostStatsAnswer
    core: dict[str, Any]
    apps: list[Any]
    sysapps: list[Any]
    appstats: list[AppStatsAnswer]
    sysappstats: list[AppStatsAnswer]


class ConditionAnswer(_Answer):
    """Something about a node that may want looking at: `True`, `False` or `Unknown`."""

    type: str
    status: str
    skew_seconds: int | None
    message: str


class NodeStatsAnswer(NodeAnswer):
    """A node, what it reported, and what follows from that."""

    report: ReportAnswer
    conditions: list[ConditionAnswer]


class PropertiesState(_Answer):
    """What a node says of its properties, and what is wanted of it."""

    report: dict[str, Any]
    desire: dict[str, str]


class PropertiesTimes(_Answer):
    """Since when each value is what it is."""

    report: dict[str, str]
    desire: dict[str, str]


class PropertiesAnswer(_Answer):
    """Properties of a node."""

    state: PropertiesState
    metadata: PropertiesTimes


class ModeAnswer(_Answer):
    """Who has the say over a node."""

    mode: Mode


class CoreAnswer(_Answer):
    """How the agent of a node works; `version` is empty for the usual one."""

    version: str
    frequency: int
    apiport: int
    agentport: int
    log_level: LogLevel
    byte_unit: str
    speed_limit: int


class CoreVersionsAnswer(_Answer):
    """The version of its agent that a node reports, and the one it is to have."""

    versions: list[str]


class DeployAnswer(_Answer):
    """One change of what a node should run, and how it ended; times are null until they are."""

    number: int
    apps: list[AppVersion]
    sysapps: list[AppVersion]
    outcome: Outcome
    cause: str
    wanted_time: str
    told_time: str
    acknowledged_time: str | None
    end_time: str | None


class DeploysAnswer(_Answer):
    """What a node was told to run, the newest first."""

    total: int
    items: list[DeployAnswer]


class SystemAppsAnswer(_Answer):
    """The parts of an agent that the nodes of a namespace are given."""

    modules: list[SystemModule]
    selector: str
    address: str
    host_path: str


class CommandAnswer(_Answer):
    """A line to paste into a shell; it works once, and for an hour."""

    cmd: str


class AppSummary(_Answer):
    """An app in a list."""

    name: str
    namespace: str
    selector: str
    labels: dict[str, str]
    description: str
    version: str
    type: AppType
    create_time: str
    update_time: str


class AppRegistry(_Answer):
    """A registry an app names."""

    name: str
    version: str


class AppAnswer(AppSummary):
    """An app."""

    services: list[Service]
    volumes: list[Volume]
    registries: list[AppRegistry]


class ConfigSummary(_Answer):
    """A config in a list."""

    name: str
    namespace: str
    labels: dict[str, str]
    description: str
    version: str
    create_time: str
    update_time: str


class ConfigAnswer(ConfigSummary):
    """A config; secret keys of object stores are masked."""

    data: list[ConfigItem]


class SecretSummary(_Answer):
    """A secret in a list: without its values."""

    name: str
    namespace: str
    description: str
    version: str
    create_time: str
    update_time: str


class SecretAnswer(SecretSummary):
    """A secret, its values too."""

    data: dict[str, str]


class RegistryAnswer(_Answer):
    """A registry; nothing shows its password."""

    name: str
    namespace: str
    address: str
    username: str
    description: str
    version: str
    create_time: str
    update_time: str


class BatchSummary(_Answer):
    """A batch in a list: without its token."""

    name: str
    namespace: str
    quota_num: int
    security_type: SecurityType
    callback_name: str
    description: str
    create_time: str
    update_time: str


class BatchAnswer(BatchSummary):
    """A batch, its token too."""

    enable_whitelist: int
    security_key: str
    labels: dict[str, str]
    fingerprint: Fingerprint


class RecordAnswer(_Answer):
    """A record of a batch; `active` is 1 once its device has been given a certificate."""

    name: str
    namespace: str
    batch_name: str
    fingerprint_value: str
    active: int
    node_name: str
    active_ip: str
    create_time: str
    update_time: str


class FingerprintsAnswer(_Answer):
    """Fingerprints of the records that were made."""

    total: int
    items: list[str]


class CallbackState(_Answer):
    """How a callback did: deliveries that wait or were given up, and what came of it last."""

    pending: int
    given_up: int
    last_success_time: str | None
    last_error: str
    last_error_time: str | None


class CallbackSummary(_Answer):
    """A callback in a list: without where it leads."""

    name: str
    namespace: str
    description: str
    state: CallbackState
    create_time: str
    update_time: str


class DeadLetter(_Answer):
    """What a callback could not be told; `id` is the `webhook-id` it was sent with."""

    id: str
    create_time: str
    attempts: int
    error: str
    content: str


class CallbackDetail(CallbackState):
    """How a callback did, with the newest of what it could not be told."""

    dead_letters: list[DeadLetter]


class CallbackAnswer(_Answer):
    """A callback; its secret is masked."""

    name: str
    namespace: str
    description: str
    url: str
    method: Method
    params: dict[str, str]
    header: dict[str, str]
    body: dict[str, str]
    secret: str
    state: CallbackDetail
    create_time: str
    update_time: str


class TokenAnswer(_Answer):
    """A token, without what opens the door."""

    name: str
    namespace: str
    role: Role
    create_time: str
    expires: str | None
    last_used_time: str | None


class NewTokenAnswer(TokenAnswer):
    """A new token, shown this once."""

    token: str


class DoneAnswer(_Answer):
    """There is nothing to show."""

    success: bool


class ListOptionsAnswer(_Answer):
    """What was asked of a list; `continue` leads to the next page, empty on the last."""

    selector: str
    field_selector: str
    limit: int
    continue_: str = msgspec.field(name="continue")


class CertificateAnswer(_Answer):
    """A node and the end of its last certificate; `lastSeen` null: it never reported."""

    node: str
    namespace: str
    serial: str
    not_after: str
    last_seen: str | None
    ready: bool


class Listed(_Answer, Generic[T]):
    """One page of a list; `total` counts all pages."""

    total: int
    list_options: ListOptionsAnswer | None
    items: list[T]


class ActorAnswer(_Answer):
    """Who it was; the name is that of a token, a node or a user, where there is one."""

    kind: ActorKind
    name: str
    namespace: str


class EntryAnswer(_Answer):
    """One entry of the audit log.

    `outcome` is `done`, or the code of the refusal. `before` and `after` hold what differs, secret
    values masked; `also` counts what else was changed by the way.
    """

    number: int
    time: str
    actor: ActorAnswer
    action: Action
    kind: str
    namespace: str
    name: str
    address: str
    request_id: str
    reason: str
    outcome: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    also: dict[str, int | str] | None


class HeadAnswer(_Answer):
    """Where the audit log ends; kept elsewhere it shows what is cut off later."""

    number: int
    code: str


class AuditAnswer(_Answer):
    """One page of the audit log, newest first; `total` counts all pages.

    `head` is for who may see every namespace.
    """

    total: int
    list_options: ListOptionsAnswer
    items: list[EntryAnswer]
    head: HeadAnswer | None


class Numbered(_Answer, Generic[T]):
    """One numbered page of a list; `total` counts all pages."""

    total: int
    page_no: int
    page_size: int
    items: list[T]


class ErrorAnswer(_Answer):
    """Why it was refused; programs tell errors apart by `code`."""

    code: str
    message: str
    request_id: str = msgspec.field(name="request-id")


class ProblemAnswer(_Answer):
    """The same as a problem (RFC 9457), for who asks for it."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str = msgspec.field(name="request-id")
