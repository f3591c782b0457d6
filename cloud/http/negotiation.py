"""Content negotiation of responses (RFC 9110, 12.5.1)."""

import re
from collections.abc import Sequence, Set

from cloud.http.answers import JSON, PROBLEM, YAML_TYPES

_WEIGHT = re.compile(r"[ \t]*[qQ]=([01](?:\.[0-9]{0,3})?)[ \t]*")


def prefers_problem(accept: Sequence[str]) -> bool:
    """Return whether the lines of an Accept header name `application/problem+json`, and want it.

    Wildcards alone do not ask for it; where `application/json` is wanted as much, it is taken.
    What cannot be read counts as not sent.
    """
    return _prefers(accept, {PROBLEM})


def prefers_yaml(accept: Sequence[str]) -> bool:
    """Return whether the lines of an Accept header name YAML, and want it, as `prefers_problem`."""
    is_named = any("yaml" in line.lower() for line in accept)
    return is_named and _prefers(accept, YAML_TYPES)


def _prefers(accept: Sequence[str], media_types: Set[str]) -> bool:
    weights: dict[str, float] = {}
    for element in ",".join(accept).split(","):
        media_type, *parameters = element.split(";")
        weights[media_type.strip().lower()] = _weight(parameters)
    wanted = max(weights.get(media_type, 0.0) for media_type in media_types)
    if not wanted:
        return False
    named = (weights[name] for name in (JSON, "application/*", "*/*") if name in weights)
    return wanted >= next(named, 0.0)


def _weight(parameters: Sequence[str]) -> float:
    for parameter in parameters:
        found = _WEIGHT.fullmatch(parameter)
        if found:
            return min(float(found[1]), 1.0)
    return 1.0
