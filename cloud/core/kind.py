"""The type of a kind: its names, its path, and its properties.

It is light, since the command line loads it: types are named by their place and imported when they
are asked for.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    import msgspec

TIMES = frozenset({"namespace", "createTime", "updateTime"})
VERSIONED = TIMES | {"version"}


class ColumnForm(StrEnum):
    """How a value is shown in a table."""

    TEXT = "text"
    NUMBER = "number"
    AGE = "age"
    FLAG = "flag"
    SHARE = "share"
    RATIO = "ratio"
    LABELS = "labels"
    # Of a list: the names of its items, or the items.
    NAMES = "names"
    SELECTOR = "selector"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: *title* above what *path*, like `state.name`, leads to in an answer.

    One that *is_wide* is shown where there is room: `get -o wide`.
    """

    title: str
    path: str
    form: ColumnForm = ColumnForm.TEXT
    is_wide: bool = False

    def value(self, thing: Mapping[str, Any]) -> Any:
        """The value of *thing* at this place; None if it has none."""
        found: Any = thing
        for step in self.path.split("."):
            found = found.get(step) if isinstance(found, Mapping) else None
        return found


NAME = Column("Name", "name")
VERSION = Column("Version", "version")
UPDATED = Column("Updated", "updateTime", ColumnForm.AGE)
DESCRIPTION = Column("Description", "description")
CREATED = Column("Created", "createTime", ColumnForm.AGE, is_wide=True)
LABELS = Column("Labels", "labels", ColumnForm.LABELS, is_wide=True)


@dataclass(frozen=True, slots=True, eq=False)
class ResourceKind:
    """One kind; there is one object of each, and no two are equal.

    Its name: *name* in manifests, *plural*, *short* on the command line; *audit_word* in the audit
    log and in events, where it is not the name in lower case. *summary* is a sentence for people.

    Its place: *path* is that of the collection in the API, *parameter* the name of the path's
    parameter for one thing. One that *is_single* exists once in a namespace, without a name; what
    has a *parent* is made below a thing of that kind, and is called PARENT/NAME. The lists of one
    that *is_numbered* are paged by `pageNo`.

    Its fields: *spec_place* states where the type is that the API takes, as `module:Type`.
    *read_only* is what the API shows beside that; lists of one that *has_status* show its `status`
    where they are asked with `include=status`. Fields in *required* are sent with each PUT,
    empty ones too, those in *required_to_create* with a POST; a PUT of one that *is_partial* leaves
    what it does not name as it is. *own_label* is set by the server to a thing's name.
    *references* maps fields to the kinds that they name a thing of; *replaced_by* maps fields that
    a PUT cannot change to the action that does. *example* is a manifest to begin with, in YAML,
    without `kind`; *columns* are those of its tables.

    Its secrets: *hidden* are the paths of what plans, revisions and the audit log never show, like
    `password`, `data.*` (each value of an object), `data[].value` (of each item of a list) or
    `token?` (unless it is empty). *hidden_in_log* are more that the audit log does not show, as it
    is not encrypted. The specs of one that *is_sealed* are encrypted in the database.

    Its permissions: *read_role* is the least role of who may see one thing, *change_role* of who
    may change one. *actions* are the audit log's verbs for it beside those that `verbs` adds; a
    kind with the action `read` has an entry for each look at one thing.
    """

    name: str
    plural: str
    path: str
    spec_place: str
    read_only: frozenset[str] = VERSIONED
    summary: str = ""
    example: str = ""
    columns: Sequence[Column] = ()
    has_labels: bool = False
    has_revisions: bool = False
    has_events: bool = True
    has_status: bool = False
    is_single: bool = False
    is_numbered: bool = False
    is_sealed: bool = False
    is_used_by_apps: bool = False
    is_whole_in_lists: bool = False
    is_partial: bool = False
    own_label: str = ""
    required: tuple[str, ...] = ()
    required_to_create: tuple[str, ...] = ()
    references: tuple[tuple[str, str], ...] = ()
    replaced_by: tuple[tuple[str, str], ...] = ()
    hidden: tuple[str, ...] = ()
    hidden_in_log: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()
    read_role: str = "viewer"
    change_role: str = "operator"
    audit_word: str = ""
    short: str = ""
    parent: str = ""
    parameter: str = "name"

    @property
    def spec(self) -> "type[msgspec.Struct]":
        """The type of what the API takes."""
        spec: type[msgspec.Struct] = resolve_name(self.spec_place)
        return spec

    @property
    def word(self) -> str:
        """Its name on the command line."""
        return self.name.lower()

    @property
    def logged_as(self) -> str:
        """Its name in the audit log, events and revisions."""
        return self.audit_word or self.word

    @property
    def method_word(self) -> str:
        """Its name in methods of the store: `put_system_apps`."""
        return re.sub("(?<!^)(?=[A-Z])", "_", self.name).lower()

    @property
    def a_word(self) -> str:
        """One of it in a sentence: `an app`."""
        return f"{'an' if self.word[0] in 'aeiou' else 'a'} {self.word}"

    @property
    def is_versioned(self) -> bool:
        """Return whether each change gives a thing a new version."""
        return "version" in self.read_only

    @property
    def is_resource(self) -> bool:
        """Return whether its things are in the table of resources, not in one of their own."""
        return self.is_versioned and not self.is_single

    @property
    def is_read_logged(self) -> bool:
        """Return whether a look at one thing has an entry in the audit log."""
        return "read" in self.actions

    @property
    def verbs(self) -> Iterator[str]:
        """The audit log's verbs for it."""
        yield from ("update",) if self.is_single else ("create", "update", "delete")
        yield from ("undo",) if self.has_revisions else ()
        yield from self.actions

    @property
    def table(self) -> Sequence[Column]:
        """The columns of its tables, those for wide ones at the end."""
        if self.columns:
            return self.columns
        labels = (LABELS,) if self.has_labels else ()
        return (NAME, VERSION, UPDATED, DESCRIPTION, CREATED, *labels)

    @property
    def hidden_fields(self) -> tuple[str, ...]:
        """Those fields of the spec that are hidden as a whole."""
        return tuple(one for path in self.hidden if (one := path.removesuffix("?")).isalnum())

    @property
    def hidden_values(self) -> tuple[str, ...]:
        """Those fields of the spec that are objects whose values are hidden."""
        return tuple(path.removesuffix(".*") for path in self.hidden if path.endswith(".*"))

    @property
    def parent_field(self) -> str:
        """The field that names the thing which one of it is below of; empty for none."""
        return f"{self.parent}Name" if self.parent else ""

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
        """The name of the thing *body* on the command line."""
        name = str(body.get("name", ""))
        return f"{self._parent_of(body)}/{name}" if self.parent else name

    def _parent_of(self, body: Mapping[str, Any]) -> str:
        return str(body.get(self.parent_field, ""))

    def _below(self, parent: str) -> str:
        return f"{self.path}/{quote(parent, safe='')}/{self.word}"
