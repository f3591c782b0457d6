"""A registry: where images come from, and the credentials with which a node may pull them."""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from cloud.core.bounds import check_description, check_size
from cloud.core.kinds import REGISTRY
from cloud.core.resource import VersionedResource
from cloud.errors import Invalid

SIZE_LIMIT = 64 * 1024
"""Bytes of one registry, written as JSON."""

LABELS = {"secret-type": "registry"}
"""Labels that selectors see on every registry."""


class RegistrySpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The specification of a registry (contract, "Create Registry")."""

    address: str
    username: str
    password: str
    description: str = ""

    def __repr__(self) -> str:
        return f"RegistrySpec(address={self.address!r}, username={self.username!r})"


@dataclass(frozen=True, slots=True)
class Registry(VersionedResource[RegistrySpec]):
    """A registry as it is stored; *version* changes with every change of its content."""

    kind = REGISTRY

    @property
    def labels(self) -> Mapping[str, str]:
        """The labels for selectors."""
        return LABELS


def checked_registry_spec(spec: RegistrySpec) -> RegistrySpec:
    """Return *spec* if a node could pull with it; Invalid names the field, never the password."""
    for name in ("address", "username", "password"):
        if not getattr(spec, name).strip():
            raise Invalid(name, "is empty")
    check_description(spec.description)
    check_size("", spec, SIZE_LIMIT)
    return spec
