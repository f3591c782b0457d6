"""Resources as manifests that `edgesync apply` takes, without defaults and read-only fields."""

from collections.abc import Mapping
from typing import Any

from cloud.core.kinds import ResourceKind
from cloud.core.mask import MASK
from cloud.core.spec_fields import spec_fields


def manifest(kind: ResourceKind, shown: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest of a resource: without read-only fields and defaults."""
    hidden = {field: MASK for field in kind.hidden_fields if field not in shown}
    name = {} if kind.is_single else {"name": shown["name"]}
    return {"kind": kind.name, **name, **spec_fields(kind, {**shown, **hidden})}
