"""A site: the type of the API's body, the thing as it is stored, and its rules."""

from dataclasses import dataclass

import msgspec

from cloud.core.bounds import check_description, check_label_bounds, check_size
from cloud.core.resource import VersionedResource
from cloud.errors import Invalid
from tests.kinds.site.kind import SITE


class SiteSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """The specification of a site."""

    address: str
    door_code: str = ""
    labels: dict[str, str] = {}
    description: str = ""


@dataclass(frozen=True, slots=True)
class Site(VersionedResource[SiteSpec]):
    """A site as it is stored."""

    kind = SITE


def checked_site_spec(spec: SiteSpec) -> SiteSpec:
    """Return *spec* if it can be stored; Invalid names the field."""
    if not spec.address.strip():
        raise Invalid("address", "is empty")
    check_description(spec.description)
    check_label_bounds(spec.labels)
    check_size("", spec, 64 * 1024)
    return spec
