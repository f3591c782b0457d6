"""One change of the labels of many nodes."""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from cloud.errors import Invalid, TooManyNodes

LABELLED_LIMIT = 10_000
"""Nodes that one request labels."""


class NodeLabelsDraft(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """Labels to set, or with null to remove, of the nodes *names*, or of all that are selected."""

    labels: dict[str, str | None]
    names: tuple[str, ...] = ()
    selector: str = ""
    field_selector: str = ""

    def check(self) -> None:
        """Invalid unless it names labels, and either nodes or a selector."""
        if not self.labels:
            raise Invalid("labels", "names no label to set or to remove")
        selects = bool(self.selector.strip() or self.field_selector.strip())
        if bool(self.names) is selects:
            raise Invalid(
                "names",
                "name the nodes, or select them (fieldSelector metadata.name=* selects all)",
            )
        check_labelled(len(self.names))

    def applied(self, labels: Mapping[str, str]) -> dict[str, str]:
        """*labels* with the change."""
        kept = {key: value for key, value in labels.items() if key not in self.labels}
        return kept | {key: value for key, value in self.labels.items() if value is not None}


@dataclass(frozen=True, slots=True)
class LabelledNodes:
    """How many nodes were *selected*, and how many of them *changed*."""

    selected: int
    changed: int


def check_labelled(count: int) -> None:
    """TooManyNodes where a request would label *count* nodes."""
    if count > LABELLED_LIMIT:
        raise TooManyNodes("labelled_nodes", count, LABELLED_LIMIT)
