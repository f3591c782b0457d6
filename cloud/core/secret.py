"""A secret: values that apps mount, encrypted where they are stored."""

from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from cloud.core.bounds import check_description, check_size
from cloud.core.names import check_data_key

SIZE_LIMIT = 64 * 1024
"""Bytes of one secret, written as JSON."""

LABELS = {"secret-type": "config"}
"""Labels that selectors see on every secret."""


class SecretSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The specification of a secret (contract, "Create Secret")."""

    data: dict[str, str] = {}
    description: str = ""

    def __repr__(self) -> str:
        return f"SecretSpec(<{len(self.data)} values>)"


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret as it is stored; *version* changes with every change of its content."""

    namespace: str
    name: str
    spec: SecretSpec = field(repr=False)
    version: str
    created: datetime
    updated: datetime


def checked_secret_spec(spec: SecretSpec) -> SecretSpec:
    """Return *spec* if it can be stored and delivered; Invalid names the field, never the value."""
    for key in spec.data:
        check_data_key("data", key)
    check_description(spec.description)
    check_size("data", spec, SIZE_LIMIT)
    return spec
