"""Routes and roles that are limited to some nodes."""

from enum import Enum


class NodeLimit(Enum):
    """What a route does for a role that is limited to some nodes.

    NONE: it refuses; what is not stated to be for some nodes is not. ONE: the path names a node,
    which has to be one of those. SELECTED: the handler selects among them.
    """

    NONE = "none"
    ONE = "one"
    SELECTED = "selected"
