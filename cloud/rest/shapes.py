"""What answers look like, as types: what the OpenAPI document says of them.

`views` makes the answers; a test holds every golden one against these, both ways: a field that is
missing here is as wrong as one that is missing there.
"""

from typing import Any, Generic, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from cloud.core.app import AppType, Service, Volume
from cloud.core.audit import Action, ActorKind
from cloud.core.batch import Fingerprint, SecurityType
from cloud.core.callback import Method
from cloud.core.config import ConfigItem
from cloud.core.tokens import Role
from cloud.core.workload import AppMode, JobConfig, Workload

T = TypeVar("T")


class Answer(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """An answer has these fields, all of them and no others."""


class CommandAnswer(Answer):
    """A line to paste into a shell; it works once, and for an hour."""

    cmd: str


class AppSummary(Answer):
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


class AppRegistry(Answer):
    """A registry an app names."""

    name: str
    version: str


class AppAnswer(AppSummary):
    """An app; what follows the registries is there where it was given.

    `select` is the selector again, as the page calls it in one place.
    """

    select: str
    services: list[Service]
    volumes: list[Volume]
    registries: list[AppRegistry]
    mode: AppMode | UnsetType = UNSET
    init_services: list[Service] | UnsetType = UNSET
    replica: int | UnsetType = UNSET
    workload: Workload | UnsetType = UNSET
    job_config: JobConfig | UnsetType = UNSET
    host_network: bool | UnsetType = UNSET
    min_ready_seconds: int | UnsetType = UNSET
    progress_deadline_seconds: int | UnsetType = UNSET


class ConfigSummary(Answer):
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


class SecretSummary(Answer):
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


class RegistryAnswer(Answer):
    """A registry; nothing shows its password."""

    name: str
    namespace: str
    address: str
    username: str
    description: str
    version: str
    create_time: str
    update_time: str


class BatchSummary(Answer):
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


class RecordAnswer(Answer):
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


class FingerprintsAnswer(Answer):
    """Fingerprints of the records that were made."""

    total: int
    items: list[str]


class CallbackState(Answer):
    """How a callback did: deliveries that wait or were given up, and what came of it last."""

    pending: int
    given_up: int
    last_success_time: str | None
    last_error: str
    last_error_time: str | None


class CallbackSummary(Answer):
    """A callback in a list: without where it leads."""

    name: str
    namespace: str
    description: str
    state: CallbackState
    create_time: str
    update_time: str


class DeadLetter(Answer):
    """What a callback could not be told; `id` is the `webhook-id` it was sent with."""

    id: str
    create_time: str
    attempts: int
    error: str
    content: str


class CallbackDetail(CallbackState):
    """How a callback did, with the newest of what it could not be told."""

    dead_letters: list[DeadLetter]


class CallbackAnswer(Answer):
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
    events: list[str]
    state: CallbackDetail
    create_time: str
    update_time: str


class TokenAnswer(Answer):
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


class DoneAnswer(Answer):
    """There is nothing to show."""

    success: bool


class ListOptionsAnswer(Answer):
    """What was asked of a list; `continue` leads to the next page, empty on the last."""

    selector: str
    field_selector: str
    limit: int
    continue_: str = msgspec.field(name="continue")


class CertificateAnswer(Answer):
    """A node and the end of its last certificate; `lastSeen` null: it never reported."""

    node: str
    namespace: str
    serial: str
    not_after: str
    last_seen: str | None
    ready: bool


class Listed(Answer, Generic[T]):
    """One page of a list; `total` counts all pages."""

    total: int
    list_options: ListOptionsAnswer | None
    items: list[T]


class ActorAnswer(Answer):
    """Who it was; the name is that of a token, a node or a user, where there is one."""

    kind: ActorKind
    name: str
    namespace: str


class EntryAnswer(Answer):
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


class HeadAnswer(Answer):
    """Where the audit log ends; kept elsewhere it shows what is cut off later."""

    number: int
    code: str


class AuditAnswer(Answer):
    """One page of the audit log, newest first; `total` counts all pages.

    `head` is for who may see every namespace.
    """

    total: int
    list_options: ListOptionsAnswer
    items: list[EntryAnswer]
    head: HeadAnswer | None


class Numbered(Answer, Generic[T]):
    """One numbered page of a list; `total` counts all pages."""

    total: int
    page_no: int
    page_size: int
    items: list[T]


class ErrorAnswer(Answer):
    """Why it was refused; programs tell errors apart by `code`.

    `field` is the path of what is wrong in the request, where one field is; `line` and `column` say
    where that stands in a body of YAML, counted from 1.
    """

    code: str
    message: str
    request_id: str = msgspec.field(name="request-id")
    field: str | UnsetType = UNSET
    line: int | UnsetType = UNSET
    column: int | UnsetType = UNSET


class ProblemAnswer(Answer):
    """The same as a problem (RFC 9457), for who asks for it."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str = msgspec.field(name="request-id")
    field: str | UnsetType = UNSET
    line: int | UnsetType = UNSET
    column: int | UnsetType = UNSET
