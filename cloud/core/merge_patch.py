"""JSON merge patch (RFC 7396): a change given as the differing part of a document."""

from collections.abc import Mapping
from typing import Any


def merged(target: Any, patch: Any) -> Any:
    """Return *target* as *patch* wants it; neither is changed.

    Members that are null in *patch* go, objects are merged member by member, all else is
    replaced, lists too. As deep as *patch* is nested, so deep are the calls: check it before.
    """
    if not isinstance(patch, Mapping):
        return patch
    kept = dict(target) if isinstance(target, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            kept.pop(name, None)
        else:
            kept[name] = merged(kept.get(name), value)
    return kept
