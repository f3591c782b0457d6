"""Sources of secrets: where a value is read when a node gets it, and by what names.

A namespace has names of its own in every source: a directory, a prefix of variables, a path.
"""

import hmac
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import msgspec

from cloud.core.names import check_data_key
from cloud.errors import Invalid

SOURCES_LIMIT = 32
"""Values of one secret that have a source."""

PATH_LIMIT = 200
"""Characters of a name in a source."""

PATH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*")
"""A path in a source: no part begins with a dot."""
_VARIABLE = re.compile(r"[A-Z0-9]+(_[A-Z0-9]+)*")


class SourceKind(StrEnum):
    """The kinds of sources."""

    FILE = "file"
    ENV = "env"
    VAULT = "vault"


class SecretSource(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Where one value is: a file, an environment variable, or a field at a path of a Vault."""

    file: str = ""
    env: str = ""
    vault: str = ""
    field: str = ""

    @property
    def kind(self) -> SourceKind:
        """The kind that it names."""
        return next(kind for kind in SourceKind if getattr(self, kind.value))

    def __str__(self) -> str:
        name = getattr(self, self.kind.value)
        return f"{self.kind.value} {name}" + (f" field {self.field}" if self.field else "")


Sources = Mapping[str, SecretSource]
"""The source of each value, by its key in the data of the secret."""


@dataclass(frozen=True, slots=True)
class SourceState:
    """What is stored of the values of a secret: a keyed *digest*, empty if they were never read.

    *error* is why they could not be read last, *since* when that began; empty if they could.
    """

    salt: str = ""
    digest: str = ""
    error: str = ""
    since: datetime | None = None

    def is_of(self, values: Mapping[str, str]) -> bool:
        """Return whether the digest is that of *values*."""
        return bool(self.digest) and hmac.compare_digest(
            self.digest, values_digest(self.salt, values)
        )


def values_digest(salt: str, values: Mapping[str, str]) -> str:
    """Digest of *values* with the key *salt*: whether they are the same, and nothing else."""
    content = msgspec.json.encode(values, order="sorted")
    return hmac.digest(salt.encode(), content, "sha256").hex()


def check_sources(sources: Sources, data: Collection[str]) -> None:
    """Refuse *sources*, beside the keys of *data*, that no server could read."""
    if len(sources) > SOURCES_LIMIT:
        raise Invalid("dataFrom", f"{len(sources)} of them, more than the limit of {SOURCES_LIMIT}")
    for key, source in sources.items():
        field = f"dataFrom.{key[:80]}"
        check_data_key("dataFrom", key)
        if key in data:
            raise Invalid(field, "is in data too")
        named = [kind for kind in SourceKind if getattr(source, kind.value)]
        if len(named) != 1:
            raise Invalid(field, "is not one of file, env and vault")
        if bool(source.field) != (named[0] is SourceKind.VAULT):
            raise Invalid(f"{field}.field", "is given for a path of a vault, and only there")
        for part, reason in _troubles(source):
            raise Invalid(f"{field}.{part}", reason)


def _troubles(source: SecretSource) -> Iterator[tuple[str, str]]:
    path = "is not a path like db/password: letters, digits, '-', '_', '.', no part begins with '.'"
    for name in ("file", "vault"):
        text = getattr(source, name)
        if text and (len(text) > PATH_LIMIT or not PATH.fullmatch(text)):
            yield name, f"{path}, at most {PATH_LIMIT} characters"
    if source.env and (len(source.env) > PATH_LIMIT or not _VARIABLE.fullmatch(source.env)):
        yield "env", "is not a name like DB_PASSWORD: capitals, digits and single underscores"
    if source.field:
        try:
            check_data_key("field", source.field)
        except Invalid as error:
            yield "field", error.reason


def variable_name(prefix: str, namespace: str, name: str) -> str:
    """Environment variable of the *namespace* that *name* stands for.

    Two underscores end the namespace, and no *name* has two: no other namespace leads to it.
    """
    return f"{prefix}{namespace.upper().replace('-', '_')}__{name}"
