"""The registry of kinds: what there is under a name, and what each kind is called.

API, audit log, revisions, manifests and the command line read it. It is light: types are named by
their place and imported when they are asked for.

The order of `KINDS` is that in which things are made: what others name comes before them.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from cloud.core.names import BATCH_LABEL, NODE_NAME_LABEL

if TYPE_CHECKING:
    import msgspec

_TIMES = frozenset({"namespace", "createTime", "updateTime"})
_VERSIONED = _TIMES | {"version"}


@dataclass(frozen=True, slots=True)
class ResourceKind:
    """One kind: what it is called, and where it is.

    *name* is that of manifests, *path* that of the collection in the API. *spec_place* states where
    the type is that the API takes. *read_only* is what the API shows beside that. *own_label* is
    set by the server to a thing's name. One that *is_single* exists once in a namespace, without a
    name; what has a *parent* is made below a thing of that kind, and is called PARENT/NAME. Fields
    in *required* are sent with each PUT, empty ones too. *audit_word* is the kind in the audit log
    and in events, where it is not the name in lower case. *short* names it on the command line.
    The specs of one that *is_sealed* are encrypted in the database.
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
    audit_word: str = ""
    short: str = ""
    parent: str = ""
    is_sealed: bool = False

    @property
    def spec(self) -> "type[msgspec.Struct]":
        """The type of what the API takes."""
        spec: type[msgspec.Struct] = resolve_name(self.spec_place)
        return spec

    @property
    def word(self) -> str:
        """What it is called on the command line."""
        return self.name.lower()

    @property
    def logged_as(self) -> str:
        """What the audit log, events and revisions call it."""
        return self.audit_word or self.word

    @property
    def method_word(self) -> str:
        """What methods of the store call it: `put_system_apps`."""
        return re.sub("(?<!^)(?=[A-Z])", "_", self.name).lower()

    @property
    def a_word(self) -> str:
        """One of it in a sentence: `an app`."""
        return f"{'an' if self.word[0] in 'aeiou' else 'a'} {self.word}"

    def url(self, name: str) -> str:
        """Path of the thing *name*; ValueError where that lacks the name of its parent."""
        if self.is_single:
            return self.path
        if self.parent:
            parent, slash, own = name.partition("/")
            if not slash:
                called = f"{self.parent.upper()}/{self.name.upper()}"
                raise ValueError(f"{name!r}: {self.a_word} is called {called}")
            return f"{self._below(parent)}/{quote(own, safe='')}"
        return f"{self.path}/{quote(name, safe='')}"

    def collection(self, body: Mapping[str, Any]) -> str:
        """Path to make *body* under."""
        return self._below(self._parent_of(body)) if self.parent else self.path

    def name_of(self, body: Mapping[str, Any]) -> str:
        """What the thing *body* is called on the command line."""
        name = str(body.get("name", ""))
        return f"{self._parent_of(body)}/{name}" if self.parent else name

    def _parent_of(self, body: Mapping[str, Any]) -> str:
        return str(body.get(f"{self.parent}Name", ""))

    def _below(self, parent: str) -> str:
        return f"{self.path}/{quote(parent, safe='')}/{self.word}"


GUARD = ResourceKind("Guard", "guards", "/v1/guard", "cloud.core.guard:GuardSpec", is_single=True)
SYSTEM_APPS = ResourceKind(
    "SystemApps",
    "systemapps",
    "/v1/sysapps",
    "cloud.core.system_apps:SystemAppsSpec",
    is_single=True,
    audit_word="sysapps",
    short="sysapps",
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
    is_sealed=True,
)
SECRET = ResourceKind(
    "Secret",
    "secrets",
    "/v1/secrets",
    "cloud.core.secret:SecretSpec",
    has_revisions=True,
    required=("data",),
    is_sealed=True,
)
CONFIG = ResourceKind(
    "Config",
    "configs",
    "/v1/configs",
    "cloud.core.config:ConfigSpec",
    has_labels=True,
    has_revisions=True,
    required=("data",),
    is_sealed=True,
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
    "cloud.core.batch:RecordSpec",
    _TIMES | {"active", "activeIp"},
    is_numbered=True,
    parent="batch",
)
NODE = ResourceKind(
    "Node",
    "nodes",
    "/v1/nodes",
    "cloud.core.node:NodeSpec",
    frozenset({"namespace", "ready", "state", "createTime"}),
    has_labels=True,
    own_label=NODE_NAME_LABEL,
    short="no",
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
