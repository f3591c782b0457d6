"""Bounds that all descriptions have in common; each is checked when something is written.

What is stored already is never refused when it is read.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from cloud.errors import Invalid

DESCRIPTION_LIMIT = 4096
"""Characters of a description; lists show it."""

LABELS_LIMIT = 256
"""Labels of one resource; each is a row of an index."""

LABEL_LENGTH_LIMIT = 320
"""Characters in the key or value of a label: a domain name of 253, a slash, and 63 more fit."""


def check_size(field: str, spec: Any, limit: int) -> None:
    """Refuse *spec* if it has more than *limit* bytes as JSON; Invalid names *field*."""
    size = len(msgspec.json.encode(spec))
    if size > limit:
        raise Invalid(field, f"{size} bytes as JSON, more than the limit of {limit}")


def check_description(text: str) -> None:
    """Refuse a `description` that is too long to be shown in lists."""
    check_length("description", text, DESCRIPTION_LIMIT)


def check_length(field: str, text: str, limit: int) -> None:
    """Refuse *text* of more than *limit* characters; Invalid names *field*."""
    if len(text) > limit:
        raise Invalid(field, f"has more than {limit} characters")


def check_label_bounds(labels: Mapping[str, str]) -> None:
    """Refuse `labels` that are too many, or too long for the index of labels."""
    if len(labels) > LABELS_LIMIT:
        raise Invalid("labels", f"{len(labels)} of them, more than the limit of {LABELS_LIMIT}")
    for key, value in labels.items():
        check_length("labels", key, LABEL_LENGTH_LIMIT)
        check_length(f"labels.{key}", value, LABEL_LENGTH_LIMIT)
