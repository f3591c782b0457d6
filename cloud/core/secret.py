"""A secret: values that apps mount, encrypted where they are stored."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import msgspec
from msgspec import UNSET, UnsetType

from cloud.core.bounds import check_description, check_size
from cloud.core.kinds import SECRET
from cloud.core.names import check_data_key
from cloud.core.resource import VersionedResource
from cloud.core.secret_source import SecretSource, Sources, check_sources

SIZE_LIMIT = 64 * 1024
"""Bytes of one secret, written as JSON."""

LABELS = {"secret-type": "config"}
"""Labels that selectors see on every secret."""


class SecretSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """The specification of a secret (contract, "Create Secret").

    The values of `dataFrom` are read from sources outside when a node gets them.
    """

    data: dict[str, str] = {}
    description: str = ""
    # Not there rather than empty: what has none is stored as servers of earlier versions read it.
    data_from: dict[str, SecretSource] | UnsetType = UNSET

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

    @property
    def sources(self) -> Sources:
        """Where values are that are read when a node gets them."""
        return {} if isinstance(self.spec.data_from, UnsetType) else self.spec.data_from

    def with_values(self, values: Mapping[str, str]) -> "Secret":
        """The secret with *values*, which were read, in the place of its sources."""
        spec = SecretSpec({**self.spec.data, **values}, self.spec.description)
        return replace(self, spec=spec)


def checked_secret_spec(spec: SecretSpec) -> SecretSpec:
    """Return *spec* if it can be stored and delivered; Invalid names the field, never the value."""
    for key in spec.data:
        check_data_key("data", key)
    if not isinstance(spec.data_from, UnsetType):
        check_sources(spec.data_from, spec.data)
        spec = spec if spec.data_from else msgspec.structs.replace(spec, data_from=UNSET)
    check_description(spec.description)
    check_size("data", spec, SIZE_LIMIT)
    return spec
