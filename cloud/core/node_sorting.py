"""The order of a list of nodes: `name`, `-lastSeen` and so on, as the parameter `sort` has it."""

from dataclasses import dataclass
from enum import StrEnum

from cloud.core.field_selectors import nearest
from cloud.errors import Invalid

SORT = "sort"
"""The parameter that errors name."""


class NodeField(StrEnum):
    """What nodes are sorted by.

    *state*: offline, stale, never, online. *cpu* and *memory* are shares of what the node has, by
    its last usage point.
    """

    CREATED = "created"
    NAME = "name"
    STATE = "state"
    LAST_SEEN = "lastSeen"
    CPU = "cpu"
    MEMORY = "memory"


@dataclass(frozen=True, slots=True)
class NodeSorting:
    """An order by *field*, then by name; what has no value is below all that have one.

    One that *is_descending* is the same in reverse.
    """

    field: NodeField
    is_descending: bool = False

    @property
    def is_default(self) -> bool:
        """Return whether lists are in this order anyway: oldest first."""
        return self.field is NodeField.CREATED and not self.is_descending


def parse_sorting(text: str) -> NodeSorting:
    """The order of *text*: a field, after `-` in reverse; empty: oldest first.

    Invalid for another field; it names the nearest.
    """
    if not text:
        return NodeSorting(NodeField.CREATED)
    word = text.removeprefix("-")
    fields = [field.value for field in NodeField]
    if word not in fields:
        likely = nearest(word, fields)
        hint = f"; did you mean {likely}?" if likely else ""
        raise Invalid(SORT, f"cannot sort by {word[:80]!r}{hint} (there are {', '.join(fields)})")
    return NodeSorting(NodeField(word), text != word)
