"""A secret: values that apps mount, encrypted where they are stored."""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from cloud.core.bounds import check_description, check_size
from cloud.core.kinds import SECRET
from cloud.core.names import check_data_key
from cloud.core.resource import VersionedResource

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
class Secret(VersionedResource[SecretSpec]):
    """A secret as it is stored; *version* changes with every change of its content."""

    kind = SECRET

    @property
    def labels(self) -> Mapping[str, str]:
        """The labels for selectors."""
        return LABELS


def checked_secret_spec(spec: SecretSpec) -> SecretSpec:
    """Return *spec* if it can be stored and delivered; Invalid names the field, never the value."""
    for key in spec.data:
        check_data_key("data", key)
    check_description(spec.description)
    check_size("data", spec, SIZE_LIMIT)
    return spec
