"""Answers: lists, errors, and what several nouns have in common."""

from typing import Any, Generic, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from cloud.core.app import AppType
from cloud.core.audit import ActorKind

T = TypeVar("T")


class Answer(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """An answer has these fields, all of them and no others; the names are the contract's."""


class DoneAnswer(Answer):
    """There is nothing to show."""

    success: bool


class CommandAnswer(Answer):
    """A line to paste into a shell; it works once, and for an hour."""

    cmd: str


class ListOptionsAnswer(Answer):
    """The options of the list; `continue` leads to the next page, empty on the last."""

    selector: str
    field_selector: str
    limit: int
    continue_: str = msgspec.field(name="continue")


class Listed(Answer, Generic[T]):
    """One page of a list; `total` counts all pages."""

    total: int
    list_options: ListOptionsAnswer | None
    items: list[T]


class Numbered(Answer, Generic[T]):
    """One numbered page of a list; `total` counts all pages."""

    total: int
    page_no: int
    page_size: int
    items: list[T]


class ActorAnswer(Answer):
    """Who it was; the name is that of a token, a node or a user, where there is one."""

    kind: ActorKind
    name: str
    namespace: str


class AppSummary(Answer):
    """An app in a list."""

    name: str
    namespace: str
    selector: str
    labels: dict[str, str]
    description: str
    version: str
    type: AppType
    create_time: str
    update_time: str


class ChangeAnswer(Answer):
    """The difference at one place; null where there was, or is, nothing.

    A value of more than 4 kB is shown by its size and SHA-256 only, one that is secret masked.
    """

    path: str
    before: Any
    after: Any


class ErrorAnswer(Answer):
    """Why it was refused; programs distinguish errors by `code`.

    `field` is the path of what is wrong in the request, if one is; `line` and `column` give
    where that stands in a body of YAML, counted from 1.
    """

    code: str
    message: str
    request_id: str = msgspec.field(name="request-id")
    field: str | UnsetType = UNSET
    line: int | UnsetType = UNSET
    column: int | UnsetType = UNSET


class ProblemAnswer(Answer):
    """The same as a problem (RFC 9457), for who asks for it."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str = msgspec.field(name="request-id")
    field: str | UnsetType = UNSET
    line: int | UnsetType = UNSET
    column: int | UnsetType = UNSET
