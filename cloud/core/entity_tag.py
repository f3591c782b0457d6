"""Entity tags of resources, and the preconditions of requests (RFC 9110, 8.8.3 and 13.1).

A tag changes with the specification, not with reports of nodes. All tags made here are
strong.
"""

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from cloud.core.resource import Tagged
from cloud.errors import Invalid, PreconditionFailed

_DIGEST_DIGITS = 32
# Possessive, as blanks without end would be tried in as many ways as there are pairs of them.
_ELEMENT = re.compile(r'[ \t]*+((?:W/)?"[\x21\x23-\x7e\x80-\xff]*+")?+[ \t]*+(?:,|$)')


def entity_tag(resource: Tagged) -> str:
    """Tag of *resource* as it is now: its version where it has one, else a digest.

    Two states of one resource never have the same; a name that was given anew counts as another
    state.
    """
    state = resource.tag_state
    if isinstance(state, str):
        return f'"{state}"'
    text = msgspec.json.encode(state, order="sorted")
    return f'"{hashlib.sha256(text).hexdigest()[:_DIGEST_DIGITS]}"'


@dataclass(frozen=True, slots=True)
class Tags:
    """A list of tags as a header holds it; *is_any* for `*`, every state there is."""

    listed: frozenset[str] = frozenset()
    is_any: bool = False

    def has(self, tag: str) -> bool:
        """Return whether *tag* is meant, by the strong comparison: a weak tag never is."""
        return self.is_any or tag in self.listed

    def has_weakly(self, tag: str) -> bool:
        """Return whether *tag* is meant, by the weak comparison."""
        return self.has(tag) or f"W/{tag}" in self.listed


def read_tags(field: str, lines: Sequence[str]) -> Tags | None:
    """Read the values of the header *field*; None if it was not sent, Invalid if not to be read."""
    if not lines:
        return None
    text = ",".join(lines)
    if text.strip(" \t") == "*":
        return Tags(is_any=True)
    listed: set[str] = set()
    position = 0
    while position < len(text):
        found = _ELEMENT.match(text, position)
        if found is None:
            raise Invalid(field, "is neither * nor a list of entity tags in double quotes")
        if found[1]:
            listed.add(found[1])
        position = found.end()
    return Tags(frozenset(listed))


@dataclass(frozen=True, slots=True)
class Precondition:
    """Which state a request is meant for; None where not given."""

    if_match: Tags | None = None
    if_none_match: Tags | None = None

    def check(self, resource: Callable[[], Tagged]) -> None:
        """Refuse (PreconditionFailed) a change of another state; looked at only if it matters."""
        if self.if_match is None and self.if_none_match is None:
            return
        current = resource()
        tag = entity_tag(current)
        if not self.admits(tag) or self.knows(tag):
            raise PreconditionFailed(type(current).__name__.lower(), current.name)

    def admits(self, tag: str) -> bool:
        """Return whether the state with *tag* is one that the caller means."""
        return self.if_match is None or self.if_match.has(tag)

    def knows(self, tag: str) -> bool:
        """Return whether the caller has what *tag* stands for already."""
        return self.if_none_match is not None and self.if_none_match.has_weakly(tag)
