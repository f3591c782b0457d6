"""The kinds of things that the REST API keeps, as the command line and manifests call them.

The order of `KINDS` is that in which they are made: what others name comes before them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click

from cloud.core.names import BATCH_LABEL, NODE_NAME_LABEL

if TYPE_CHECKING:
    import msgspec

OWNER_LABEL = "edgesync.io/owner"
"""Label that `apply --owner NAME` sets, and by which `--prune` selects."""

_TIMES = frozenset({"namespace", "createTime", "updateTime"})
_VERSIONED = _TIMES | {"version"}


@dataclass(frozen=True, slots=True)
class ResourceKind:
    """One kind: what it is called, and where it is.

    *name* is that of manifests. *spec_place* says where the type is that the API takes; it is
    imported when it is asked for. *read_only* is what the API shows beside that. *own_label* is set
    by the server to a thing's name. One that *is_single* exists once in a namespace, without a
    name. Fields in *required* are sent with each PUT, empty ones too.
    """

    name: str
    plural: str
    path: str
    spec_place: str
    read_only: frozenset[str] = _VERSIONED
    has_labels: bool = False
    has_revisions: bool = False
    is_single: bool = False
    is_numbered: bool = False
    own_label: str = ""
    required: tuple[str, ...] = ()

    @property
    def spec(self) -> "type[msgspec.Struct]":
        """The type of what the API takes."""
        spec: type[msgspec.Struct] = resolve_name(self.spec_place)
        return spec

    @property
    def word(self) -> str:
        """What it is called on the command line."""
        return self.name.lower()

    def url(self, name: str) -> str:
        """Path of the thing *name*; that of a record is `BATCH/RECORD`."""
        if self.is_single:
            return self.path
        if self is RECORD:
            batch, slash, record = name.partition("/")
            if not slash:
                raise click.UsageError(f"{name!r}: a record is called BATCH/RECORD")
            return f"{self.collection({'batchName': batch})}/{quote(record, safe='')}"
        return f"{self.path}/{quote(name, safe='')}"

    def collection(self, body: Mapping[str, Any]) -> str:
        """Path to make *body* under."""
        if self is RECORD:
            return f"{self.path}/{quote(str(body.get('batchName', '')), safe='')}/record"
        return self.path

    def name_of(self, body: Mapping[str, Any]) -> str:
        """What the thing *body* is called on the command line."""
        name = str(body.get("name", ""))
        return f"{body.get('batchName', '')}/{name}" if self is RECORD else name


GUARD = ResourceKind("Guard", "guards", "/v1/guard", "cloud.core.guard:GuardSpec", is_single=True)
SYSTEM_APPS = ResourceKind(
    "SystemApps",
    "systemapps",
    "/v1/sysapps",
    "cloud.core.system_apps:SystemAppsSpec",
    is_single=True,
)
CALLBACK = ResourceKind(
    "Callback",
    "callbacks",
    "/v1/callback",
    "cloud.core.callback:CallbackSpec",
    _TIMES | {"state"},
    is_numbered=True,
)
REGISTRY = ResourceKind(
    "Registry",
    "registries",
    "/v1/registries",
    "cloud.core.registry:RegistrySpec",
    has_revisions=True,
)
SECRET = ResourceKind(
    "Secret",
    "secrets",
    "/v1/secrets",
    "cloud.core.secret:SecretSpec",
    has_revisions=True,
    required=("data",),
)
CONFIG = ResourceKind(
    "Config",
    "configs",
    "/v1/configs",
    "cloud.core.config:ConfigSpec",
    has_labels=True,
    has_revisions=True,
    required=("data",),
)
BATCH = ResourceKind(
    "Batch",
    "batches",
    "/v1/register",
    "cloud.core.batch:BatchSpec",
    _TIMES,
    is_numbered=True,
    own_label=BATCH_LABEL,
)
RECORD = ResourceKind(
    "Record",
    "records",
    "/v1/register",
    "edgesync.cli.resources.record_spec:RecordSpec",
    _TIMES | {"active", "activeIp"},
    is_numbered=True,
)
NODE = ResourceKind(
    "Node",
    "nodes",
    "/v1/nodes",
    "cloud.core.node:NodeSpec",
    frozenset({"namespace", "ready", "state", "createTime"}),
    has_labels=True,
    own_label=NODE_NAME_LABEL,
)
APP = ResourceKind(
    "App",
    "apps",
    "/v1/apps",
    "cloud.core.app:AppSpec",
    _VERSIONED | {"select"},
    has_labels=True,
    has_revisions=True,
    required=("services",),
)

KINDS = (GUARD, CALLBACK, REGISTRY, SECRET, CONFIG, BATCH, RECORD, NODE, APP, SYSTEM_APPS)

_SHORT = {"no": NODE, "sysapps": SYSTEM_APPS}
_BY_WORD = {kind.word: kind for kind in KINDS} | {kind.plural: kind for kind in KINDS} | _SHORT


def kind_called(word: str) -> ResourceKind | None:
    """The kind that *word* names, one or several of it, in whatever case."""
    return _BY_WORD.get(word.lower())


def kind_words(needs: str = "") -> list[str]:
    """What kinds are called that have the attribute *needs*, if one is named."""
    return [kind.plural for kind in KINDS if not needs or getattr(kind, needs)]
