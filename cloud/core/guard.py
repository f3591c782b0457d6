"""The guard of a namespace: how many of its nodes one change may touch without being confirmed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import msgspec

from cloud.core.kinds import GUARD, ResourceKind
from cloud.errors import Invalid

NODES_LIMIT = 1_000_000


class GuardSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """The guard settings: changes of more than *max_share* of all nodes need confirmation.

    1 is off. What touches fewer than *min_nodes* goes through whatever its share.
    """

    max_share: float = 1.0
    min_nodes: Annotated[int, msgspec.Meta(ge=0, le=NODES_LIMIT)] = 0

    @property
    def is_on(self) -> bool:
        """Return whether it ever asks."""
        return self.max_share < 1

    def asks(self, touched: int, total: int) -> bool:
        """Return whether a change of *touched* of *total* nodes has to be confirmed."""
        return self.is_on and touched >= max(self.min_nodes, 1) and touched > self.max_share * total


OFF = GuardSpec()


@dataclass(frozen=True, slots=True)
class ChangeGuard:
    """The guard of a namespace, as it is stored."""

    kind: ClassVar[ResourceKind] = GUARD

    namespace: str
    spec: GuardSpec

    name = "guard"

    def described(self) -> Mapping[str, Any]:
        """The guard as the audit log shows it."""
        described: Mapping[str, Any] = msgspec.to_builtins(self.spec)
        return described


def checked_guard_spec(spec: GuardSpec) -> GuardSpec:
    """Return *spec*; Invalid unless its share is one."""
    if not 0 <= spec.max_share <= 1:
        raise Invalid("maxShare", f"{spec.max_share} is not between 0 and 1")
    return spec
