"""Answers: kinds."""

from cloud.answers.common import Answer
from cloud.core.kind import ColumnForm
from cloud.core.tokens import Role


class ColumnAnswer(Answer):
    """A column of a table: `path`, like `state.name`, leads to its value in an answer."""

    title: str
    path: str
    form: ColumnForm
    wide: bool


class KindAnswer(Answer):
    """A kind: what it is called, where it is in the API, and how its things are shown.

    `logName` is its name in events and in the audit log, `parent` the kind that its things are
    below of. `readOnly` are fields of answers that requests may leave out. The roles are the least
    ones of who may see, and change, one thing; where `readLogged` each look has an audit entry.
    """

    name: str
    singular: str
    plural: str
    log_name: str
    path: str
    parent: str
    summary: str
    example: str
    columns: list[ColumnAnswer]
    read_only: list[str]
    read_role: Role
    change_role: Role
    labels: bool
    revisions: bool
    events: bool
    numbered: bool
    single: bool
    used_by_apps: bool
    read_logged: bool
