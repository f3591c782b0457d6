"""The registry of kinds: every kind of thing that an operator describes.

API, audit log, events, revisions, plans, manifests, the command line and the dashboard read it. A
kind is added here (docs/checklists/kind.md); `KINDS.register` adds one from elsewhere, before the
modules of the API are imported.
"""

from collections.abc import Iterable, Iterator

from cloud.core.kind import (
    CREATED,
    DESCRIPTION,
    LABELS,
    NAME,
    TIMES,
    UPDATED,
    VERSION,
    VERSIONED,
    Column,
    ColumnForm,
    ResourceKind,
)
from cloud.core.names import BATCH_LABEL, NODE_NAME_LABEL

__all__ = ["KINDS", "Kinds", "ResourceKind", "begins_rollouts", "words_of"]

GUARD = ResourceKind(
    "Guard",
    "guards",
    "/v1/guard",
    "cloud.core.guard:GuardSpec",
    summary="How many nodes one change may affect without being confirmed.",
    columns=(
        Column("Max share", "maxShare", ColumnForm.SHARE),
        Column("Min nodes", "minNodes", ColumnForm.NUMBER),
    ),
    has_events=False,
    is_single=True,
    is_whole_in_lists=True,
    change_role="admin",
)
SYSTEM_APPS = ResourceKind(
    "SystemApps",
    "systemapps",
    "/v1/sysapps",
    "cloud.core.system_apps:SystemAppsSpec",
    summary="The system apps of all nodes.",
    columns=(
        Column("Modules", "modules", ColumnForm.NAMES),
        Column("Selector", "selector", ColumnForm.SELECTOR),
        Column("Address", "address"),
    ),
    is_single=True,
    is_sealed=True,
    is_whole_in_lists=True,
    actions=("read",),
    read_role="operator",
    audit_word="sysapps",
    short="sysapps",
)
CALLBACK = ResourceKind(
    "Callback",
    "callbacks",
    "/v1/callback",
    "cloud.core.callback:CallbackSpec",
    TIMES | {"state"},
    summary="Signed HTTP requests that report events.",
    example="""\
name: crm
description: ""
url: https://crm.example.com/events
events:
  - node.*
""",
    columns=(
        NAME,
        Column("Pending", "state.pending", ColumnForm.NUMBER),
        Column("Given up", "state.givenUp", ColumnForm.NUMBER),
        Column("Last success", "state.lastSuccessTime", ColumnForm.AGE),
        Column("Last error", "state.lastError"),
        Column("Description", "description", is_wide=True),
    ),
    is_numbered=True,
    is_sealed=True,
    is_partial=True,
    hidden=("secret", "header.*"),
    # Where it leads, and what with, can be what opens the receiver's door.
    hidden_in_log=("url", "params", "header", "body"),
    actions=("read", "retry"),
    read_role="operator",
    change_role="admin",
)
CHANNEL = ResourceKind(
    "Channel",
    "channels",
    "/v1/channels",
    "cloud.core.channel:ChannelSpec",
    VERSIONED | {"state", "target", "deliveries"},
    summary="Where notifications go: e-mail, Slack, Microsoft Teams or a webhook.",
    example="""\
name: ops-mail
description: ""
type: email
smtpHost: smtp.example.com
smtpPort: 587
smtpSecurity: starttls
username: edgesync@example.com
password: change-me
from: edgesync@example.com
to:
  - ops@example.com
""",
    columns=(
        NAME,
        Column("Type", "type"),
        Column("Target", "target"),
        Column("Pending", "state.pending", ColumnForm.NUMBER),
        Column("Given up", "state.givenUp", ColumnForm.NUMBER),
        Column("Last sent", "state.lastSentTime", ColumnForm.AGE),
        Column("Last error", "state.lastError"),
        Column("Description", "description", is_wide=True),
    ),
    has_revisions=True,
    is_sealed=True,
    required=("type",),
    required_to_create=("type",),
    hidden=("url?", "secret?", "password?"),
    actions=("test", "retry"),
    change_role="admin",
)
NOTIFICATION_RULE = ResourceKind(
    "NotificationRule",
    "notificationrules",
    "/v1/notificationrules",
    "cloud.core.notification_rule:NotificationRuleSpec",
    summary="Which events are sent as notifications, to which channels and how often.",
    example="""\
name: failed-nodes
description: ""
events:
  - node.failed
  - node.lost
selector: role=gateway
severity: warning
threshold:
  count: 3
  of: nodes
  minutes: 10
gatherSeconds: 30
quietMinutes: 60
paused: false
channels:
  - ops-mail
""",
    columns=(
        NAME,
        Column("Severity", "severity"),
        Column("Events", "events", ColumnForm.NAMES),
        Column("Selector", "selector", ColumnForm.SELECTOR),
        Column("Channels", "channels", ColumnForm.NAMES),
        Column("Paused", "paused", ColumnForm.FLAG),
        UPDATED,
        Column("Description", "description", is_wide=True),
    ),
    has_revisions=True,
    required=("channels", "events"),
    required_to_create=("channels", "events"),
    references=(("channels", "Channel"),),
    short="nr",
)
ROLE = ResourceKind(
    "Role",
    "roles",
    "/v1/roles",
    "cloud.core.custom_role:RoleSpec",
    summary="Permissions under a name, for tokens and users of the namespace.",
    example="""\
name: deployer
description: ""
permissions:
  - list apps
  - read apps
  - update apps/web
  - approve rollouts/web*
""",
    columns=(
        NAME,
        Column("Permissions", "permissions", ColumnForm.NAMES),
        UPDATED,
        DESCRIPTION,
    ),
    has_revisions=True,
    required=("permissions",),
    required_to_create=("permissions",),
    change_role="admin",
)
REGISTRY = ResourceKind(
    "Registry",
    "registries",
    "/v1/registries",
    "cloud.core.registry:RegistrySpec",
    summary="Credentials with which nodes pull images. The password is never shown.",
    example="""\
name: hub
address: registry.example.com
username: puller
password: change-me
description: ""
""",
    columns=(
        NAME,
        Column("Address", "address"),
        Column("Username", "username"),
        UPDATED,
        DESCRIPTION,
        Column("Version", "version", is_wide=True),
    ),
    has_revisions=True,
    is_sealed=True,
    is_used_by_apps=True,
    is_whole_in_lists=True,
    replaced_by=(("password", "refresh"),),
    hidden=("password",),
    actions=("refresh",),
)
SECRET = ResourceKind(
    "Secret",
    "secrets",
    "/v1/secrets",
    "cloud.core.secret:SecretSpec",
    VERSIONED | {"source"},
    summary="Sensitive values that apps mount. Each read is an entry of the audit log.",
    example="""\
name: web-password
description: ""
data:
  password: change-me
""",
    has_revisions=True,
    is_sealed=True,
    is_used_by_apps=True,
    required=("data",),
    required_to_create=("data",),
    hidden=("data.*",),
    actions=("read",),
    read_role="operator",
)
CONFIG = ResourceKind(
    "Config",
    "configs",
    "/v1/configs",
    "cloud.core.config:ConfigSpec",
    summary="Files that apps mount. A change gives the apps that use them a new version.",
    example="""\
name: web-conf
description: ""
labels: {}
data:
  - key: index.html
    value:
      type: kv
      value: |
        <h1>hello</h1>
""",
    has_labels=True,
    has_revisions=True,
    is_sealed=True,
    is_used_by_apps=True,
    required=("data",),
    hidden=("data[].value.sk?",),
    short="cm",
)
BATCH = ResourceKind(
    "Batch",
    "batches",
    "/v1/register",
    "cloud.core.batch:BatchSpec",
    TIMES | {"warning"},
    summary="Devices that may activate, and the labels they get as nodes.",
    example="""\
name: shops
description: ""
enableWhitelist: 0
securityType: Token
quotaNum: 200
labels:
  role: gateway
""",
    columns=(
        NAME,
        Column("Quota", "quotaNum", ColumnForm.NUMBER),
        Column("Security", "securityType"),
        Column("Callback", "callbackName"),
        DESCRIPTION,
        CREATED,
    ),
    is_numbered=True,
    is_sealed=True,
    is_partial=True,
    own_label=BATCH_LABEL,
    references=(("callbackName", "Callback"),),
    hidden=("securityKey",),
    actions=("read", "init", "generate"),
    read_role="operator",
    parameter="batch",
)
RECORD = ResourceKind(
    "Record",
    "records",
    "/v1/register",
    "cloud.core.batch:RecordSpec",
    TIMES | {"active", "activeIp"},
    summary="One device of a batch.",
    columns=(
        NAME,
        Column("Batch", "batchName"),
        Column("Node", "nodeName"),
        Column("Active", "active", ColumnForm.FLAG),
        Column("Fingerprint", "fingerprintValue"),
        Column("Active IP", "activeIp", is_wide=True),
    ),
    is_numbered=True,
    is_whole_in_lists=True,
    references=(("batchName", "Batch"),),
    actions=("reset", "activate"),
    parent="batch",
    parameter="record",
)
NODE = ResourceKind(
    "Node",
    "nodes",
    "/v1/nodes",
    "cloud.core.node:NodeSpec",
    frozenset({"namespace", "ready", "state", "status", "createTime"}),
    summary="Machines that run apps.",
    columns=(
        NAME,
        Column("State", "state.name"),
        Column("Apps", "status.apps", ColumnForm.RATIO, is_wide=True),
        Column("Agent", "status.agent", is_wide=True),
        Column("Address", "status.address", is_wide=True),
        Column("OS", "status.os", is_wide=True),
        Column("Arch", "status.arch", is_wide=True),
        Column("CPU", "status.usage.cpuPercent", ColumnForm.SHARE, is_wide=True),
        Column("Memory", "status.usage.memoryPercent", ColumnForm.SHARE, is_wide=True),
        Column("For", "state.since", ColumnForm.AGE),
        Column("Last report", "state.lastReport", ColumnForm.AGE),
        DESCRIPTION,
        Column("Connected", "state.connected", is_wide=True),
        Column("Revoked", "state.revoked", is_wide=True),
        Column("Secrets", "state.secrets", is_wide=True),
        CREATED,
        LABELS,
    ),
    has_labels=True,
    has_status=True,
    is_whole_in_lists=True,
    own_label=NODE_NAME_LABEL,
    actions=("init", "revoke", "connect"),
    short="no",
)
APP = ResourceKind(
    "App",
    "apps",
    "/v1/apps",
    "cloud.core.app:AppSpec",
    VERSIONED | {"select"},
    summary="Workloads of nodes. The selector selects the nodes.",
    example="""\
name: web
selector: role=gateway
services:
  - name: web
    image: nginx:1.29
    ports:
      - hostPort: 8080
        containerPort: 80
""",
    columns=(
        NAME,
        VERSION,
        Column("Selector", "selector", ColumnForm.SELECTOR),
        UPDATED,
        DESCRIPTION,
        Column("Type", "type", is_wide=True),
        CREATED,
        LABELS,
    ),
    has_labels=True,
    has_revisions=True,
    required=("services",),
)
ROLLOUT_POLICY = ResourceKind(
    "RolloutPolicy",
    "rolloutpolicies",
    "/v1/rolloutpolicies",
    "cloud.core.rollout_policy:RolloutPolicySpec",
    summary="In which stages, how fast and how carefully new versions of apps reach nodes.",
    example="""\
name: careful
description: ""
apps:
  selector: tier=till
stages:
  - name: canary
    selector: ring=canary
    soak: 10m
  - name: tenth
    limit: 10%
    success: 95%
    soak: 30m
  - name: all
    approval: required
budget:
  by: site
  maxUnavailable: 1
failure:
  max: 2%
  action: rollback
deadline: 15m
offline: skip
""",
    has_labels=True,
    has_revisions=True,
    required=("apps",),
    short="policies",
    columns=(
        NAME,
        Column("Apps", "apps.selector", ColumnForm.SELECTOR),
        Column("App names", "apps.names", ColumnForm.NAMES),
        Column("Failures", "failure.max"),
        Column("Action", "failure.action"),
        UPDATED,
        DESCRIPTION,
        LABELS,
    ),
)


class Kinds:
    """Owns the kinds, in the order in which things are made: what others name comes first."""

    def __init__(self, kinds: Iterable[ResourceKind]) -> None:
        self._kinds: list[ResourceKind] = []
        for kind in kinds:
            self.register(kind)

    def __iter__(self) -> Iterator[ResourceKind]:
        return iter(self._kinds)

    def __len__(self) -> int:
        return len(self._kinds)

    def register(self, kind: ResourceKind) -> None:
        """Add *kind* at the end; ValueError where another one has one of its names."""
        taken = {word for known in self._kinds for word in words_of(known)}
        if twice := taken & words_of(kind):
            raise ValueError(f"{kind.name}: there is a kind called {', '.join(sorted(twice))}")
        self._kinds.append(kind)

    def index(self, kind: ResourceKind) -> int:
        """Its place in the order."""
        return self._kinds.index(kind)

    def named(self, word: str) -> ResourceKind | None:
        """The kind that *word* names, one or several of it, in whatever case."""
        return next((kind for kind in self._kinds if word.lower() in words_of(kind)), None)

    def logged_as(self, word: str) -> ResourceKind | None:
        """The kind that the audit log calls *word*."""
        return next((kind for kind in self._kinds if kind.logged_as == word), None)


def words_of(kind: ResourceKind) -> set[str]:
    """The words that name *kind*."""
    return {word for word in (kind.word, kind.plural, kind.short, kind.logged_as) if word}


def begins_rollouts(kind: ResourceKind) -> bool:
    """Return whether a change of a thing of *kind* begins rollouts, where policies govern apps."""
    return kind is APP or kind.is_used_by_apps


KINDS = Kinds(
    (
        *(GUARD, ROLE, CALLBACK, CHANNEL, NOTIFICATION_RULE),
        *(REGISTRY, SECRET, CONFIG, BATCH, RECORD),
        *(NODE, ROLLOUT_POLICY, APP, SYSTEM_APPS),
    )
)
