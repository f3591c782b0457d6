"""The fields and methods of resources of every kind."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import msgspec

from cloud.core.kind import ResourceKind
from cloud.core.mask import hide

S = TypeVar("S", bound=msgspec.Struct)


class Noun(Protocol):
    """A thing whose changes the audit log describes."""

    def described(self) -> Mapping[str, Any]:
        """Its specification for the audit log, which is not encrypted; secrets are Hidden."""
        ...


class Tagged(Protocol):
    """A thing with an entity tag."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def tag_state(self) -> object:
        """The value of its entity tag: its version, or its content, without secrets."""
        ...


@dataclass(frozen=True, slots=True)
class VersionedResource(Generic[S]):
    """A thing as it is stored; *version* changes with its content.

    A subclass names its *kind*.
    """

    kind: ClassVar[ResourceKind]

    namespace: str
    name: str
    spec: S = field(repr=False)
    version: str
    created: datetime
    updated: datetime

    @property
    def labels(self) -> Mapping[str, str]:
        """The labels for selectors."""
        labels: Mapping[str, str] = getattr(self.spec, "labels", {})
        return labels

    @property
    def tag_state(self) -> object:
        """Its version."""
        return self.version

    def described(self) -> Mapping[str, Any]:
        """Its specification and version for the audit log."""
        return {**for_log(self.kind, self.spec), "version": self.version}


@dataclass(frozen=True, slots=True)
class UnversionedResource(Generic[S]):
    """A thing as it is stored, of a kind without versions.

    A subclass names its *kind*.
    """

    kind: ClassVar[ResourceKind]

    namespace: str
    name: str
    spec: S = field(repr=False)
    created: datetime
    updated: datetime

    @property
    def tag_state(self) -> object:
        """Times and content; of what is secret a tag must not let anything be guessed."""
        content = msgspec.to_builtins(self.spec)
        secrets = dict.fromkeys(self.kind.hidden_fields, "")
        return [self.created, self.updated, {**content, **secrets}]

    def described(self) -> Mapping[str, Any]:
        """Its specification for the audit log."""
        return for_log(self.kind, self.spec)


def hidden_content(kind: ResourceKind, spec: msgspec.Struct) -> dict[str, Any]:
    """The body of a PUT, with all secrets Hidden."""
    return hide(msgspec.to_builtins(spec), kind.hidden)


def for_log(kind: ResourceKind, spec: msgspec.Struct) -> dict[str, Any]:
    """The same for the audit log, which is not encrypted."""
    return hide(hidden_content(kind, spec), kind.hidden_in_log)
