"""The errors of the server; no status codes and no framework here (those are in http/errors.py).

CloudError
├── Invalid             the caller sent something wrong; the message names the field
│   ├── QuotaExceeded   a batch holds as many records as it may
│   ├── NameTaken       a device would become the node of another one
│   ├── TooLarge        the caller sent more bytes than are taken
│   ├── HeadTooLarge    the same before the body
│   ├── TooManyValues   the body holds more values than are read
│   ├── TooManyNodes    a request would label more nodes than one may
│   └── UnknownMediaType  the caller sent something in a form that is not understood
├── Expired             what the caller goes on from was good once, but is too old
├── Denied              the caller did not prove who it is
│   ├── ActivationDenied  a device that may not activate; the answer gives no reason
│   │   ├── WrongToken  it does not have the batch's token
│   │   └── NotOnWhitelist  it has the batch's token, and no record
│   └── SignInDenied    a local user may not sign in; the answer gives no reason
├── Forbidden           the caller is known and may not do this
├── NotFound            the thing is not there (or not the caller's)
├── InUse               the thing is there and something needs it to stay as it is
│   ├── HasRecords      a batch that still has records
│   ├── CallbackInUse   a callback that batches name
│   └── Activated       a record whose device has been activated
│       └── OtherKey    and this is another device, or it has lost its key
├── Conflict            another request changed it first
│   ├── TooManyCommands   a node has as many commands to answer as it may
│   ├── RolloutConflict   the state of a rollout does not allow the action
│   └── PreconditionFailed  the state is not the one that the caller named
├── ConfirmationRequired  so many nodes would be touched that the caller has to confirm
├── SecretUnreadable    the source of a secret cannot be read now; a later request may succeed
│   └── SecretsUnread   sources of secrets have to be read before the request is tried again
├── TooSlow             the caller did not send the rest of its request in time
├── TooManyRequests     the caller does it too often; the same call may succeed later
│   └── OverBudget      a node sends more than its budget
└── Unavailable         the store cannot answer now; the same call may succeed later
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar


class CloudError(Exception):
    """Anything the server refuses on purpose; its text is safe to show to the caller.

    `code` is what programs tell errors apart by: the `code` of an error answer.
    """

    code: ClassVar[str] = "UnknownError"
    bound: str = ""
    """The limit of docs/limits.md that its refusals are counted by; empty: they are not, or
    elsewhere."""


class Invalid(CloudError):
    """Bad input: *field* is the path of what is wrong ("" for the whole), *reason* why it is wrong.

    *line* and *column* are its place in a body of YAML, counted from 1; 0 where unknown.
    """

    code = "RequestParamInvalid"

    def __init__(self, field: str, reason: str, *, line: int = 0, column: int = 0) -> None:
        self.field = field
        self.reason = reason
        self.line = line
        self.column = column
        detail = f"{field}: {reason}" if field else reason
        super().__init__(f"The request parameter is invalid. ({detail})")


class QuotaExceeded(Invalid):
    """A batch has *quota* records already and takes no more."""

    code = "RegisterQuotaNumOut"

    def __init__(self, batch: str, quota: int) -> None:
        self.batch = batch
        self.quota = quota
        super().__init__("", f"the batch {batch} has reached its quota of {quota} records")


class NameTaken(Invalid):
    """A device would become a node whose name belongs to another device or node."""


class TooLarge(Invalid):
    """The request has more than *limit* bytes."""

    code = "RequestTooLarge"
    bound = "request_bytes"

    def __init__(self, limit: int) -> None:
        self.limit = limit
        super().__init__("", f"more than {limit} bytes")


class TooManyValues(Invalid):
    """The body holds more than *limit* values; *bound* is what the refusal is counted as."""

    def __init__(self, bound: str, limit: int, where: str = "") -> None:
        self.bound = bound
        self.limit = limit
        super().__init__("", f"the body holds more than {limit} values{where}")


class TooManyNodes(Invalid):
    """The request is about *count* nodes, more than *limit*; it is counted as *bound*."""

    def __init__(self, bound: str, count: int, limit: int) -> None:
        self.bound = bound
        self.limit = limit
        super().__init__("", f"it is about {count} nodes, more than {limit}: select fewer")


class HeadTooLarge(Invalid):
    """Request line and headers are more than *limit* bytes, or headers, as *unit* names."""

    code = "RequestHeadTooLarge"

    def __init__(self, limit: int, unit: str = "bytes") -> None:
        self.limit = limit
        super().__init__("", f"the head of the request has more than {limit} {unit}")


class UnknownMediaType(Invalid):
    """The body is not in one of the *understood* media types."""

    code = "UnsupportedMediaType"

    def __init__(self, *understood: str) -> None:
        self.understood = understood
        super().__init__("Content-Type", f"send one of: {', '.join(understood)}")


class Expired(CloudError):
    """The *field* of the request was good once, and is too old now; begin anew without it."""

    code = "ResourceExpired"

    def __init__(self, field: str) -> None:
        self.field = field
        super().__init__(f"The request parameter has expired, begin anew. ({field})")


class Denied(CloudError):
    """The caller did not prove who it is."""

    code = "RequestAccessDenied"

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"Access denied. ({reason})")


class ActivationDenied(Denied):
    """A device may not activate: the response has the same text for each *cause*.

    The cause is for the server's log only: an attacker must not learn which part was right.
    """

    def __init__(self, cause: str) -> None:
        self.cause = cause
        super().__init__(
            "the server does not admit this device: its batch, token or fingerprint is wrong;"
            " the log of the server has the cause, under this request's id"
        )


class WrongToken(ActivationDenied):
    """A device does not show the token of the batch it names."""


class NotOnWhitelist(ActivationDenied):
    """A device that shows the token of the *batch* has a *fingerprint* that is not on its list."""

    def __init__(self, namespace: str, batch: str, fingerprint: str) -> None:
        self.namespace = namespace
        self.batch = batch
        self.fingerprint = fingerprint
        super().__init__(f"the batch {batch} has no fingerprint {fingerprint!r} on its list")


class SignInDenied(Denied):
    """A local user may not sign in: the response has the same text for each *cause*.

    The cause is for the server's log only, as of `ActivationDenied`.
    """

    def __init__(self, cause: str) -> None:
        self.cause = cause
        super().__init__("wrong name, password or code")


class Forbidden(CloudError):
    """The caller is known, and its role or namespace does not allow this."""

    code = "RequestForbidden"

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"The request is not allowed. ({reason})")


class NotFound(CloudError):
    """Nothing of that *kind* and *name* is there for this caller.

    *field* is the path in the body that names it, "" where something else does.
    """

    code = "ResourceNotFound"

    def __init__(self, kind: str, name: str, *, field: str = "") -> None:
        self.kind = kind
        self.name = name
        self.field = field
        super().__init__(f"The ({kind}) resource ({name}) is not found.")


class InUse(CloudError):
    """The thing cannot go, or its name cannot be taken: *users* are the reason."""

    code = "ResourceHasBeenUsed"

    def __init__(self, kind: str, name: str, users: str = "") -> None:
        self.kind = kind
        self.name = name
        self.users = users
        by = f" by {users}" if users else ""
        super().__init__(f"The ({kind}) resource ({name}) has been used{by}.")


class HasRecords(InUse):
    """The batch *name* cannot go while it has records."""

    code = "RegisterDeleteRecord"

    def __init__(self, name: str) -> None:
        super().__init__("batch", name, "records that are still in it")


class CallbackInUse(InUse):
    """The callback *name* cannot go while *batches* name it."""

    code = "RegisterDeleteCallback"

    def __init__(self, name: str, batches: Sequence[str]) -> None:
        shown = ", ".join(batches[:5]) + (" and others" if len(batches) > 5 else "")
        super().__init__("callback", name, f"the batches {shown}")


class Activated(InUse):
    """The record *name* stands for a device that has been activated and has to stay as it is."""

    code = "RegisterRecordActivated"

    def __init__(self, name: str) -> None:
        super().__init__("record", name, "a device that has been activated")


class OtherKey(Activated):
    """The record *name* stands for a device that has been activated with another key than this."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.args = (
            f"The device of the record ({name}) has been activated with another key. If this device"
            " is to take its place, or has lost its key, an operator has to reset the record.",
        )


class Conflict(CloudError):
    """A write that lost against another write of the same thing."""

    code = "ResourceConflict"

    def __init__(self, kind: str, name: str) -> None:
        self.kind = kind
        self.name = name
        super().__init__(f"The ({kind}) resource ({name}) was changed by another request.")


class PreconditionFailed(Conflict):
    """The resource is not in the state that the caller made a condition of the change."""

    code = "PreconditionFailed"


class TooManyCommands(Conflict):
    """The node *name* has *limit* commands already that wait for their end."""

    code = "TooManyCommands"

    def __init__(self, name: str, limit: int) -> None:
        super().__init__("node", name)
        self.args = (f"The node ({name}) has {limit} commands already that wait for their end.",)


class RolloutConflict(Conflict):
    """The rollout *name* is in a *state* that does not allow the *action*."""

    code = "RolloutConflict"

    def __init__(self, name: str, state: str, action: str, hint: str = "") -> None:
        super().__init__("rollout", name)
        self.state = state
        self.action = action
        more = f"; {hint}" if hint else ""
        self.args = (f"The rollout ({name}) is {state}: {action} is not possible{more}.",)


class ConfirmationRequired(CloudError):
    """A change would touch *touched* of *total* nodes, more than the part *share* of them."""

    code = "ConfirmationRequired"

    def __init__(self, touched: int, total: int, share: float) -> None:
        self.touched = touched
        self.total = total
        self.share = share
        super().__init__(
            f"This touches {touched} of {total} nodes, and the guard of the namespace lets no more"
            f" than {share:.0%} through: look at it with dryRun=true, send it with confirm=true.",
        )

    def without_total(self) -> "ConfirmationRequired":
        """The same error for who may not know how many nodes there are."""
        error = ConfirmationRequired(self.touched, 0, self.share)
        error.args = (
            f"This touches {self.touched} nodes, and the guard of the namespace lets no more than"
            f" {self.share:.0%} of its nodes through: send it with confirm=true.",
        )
        return error


class TooManyRequests(CloudError):
    """The caller does this more often than it may, and may again in *wait* seconds."""

    code = "TooManyRequests"

    def __init__(
        self,
        wait: float,
        reason: str = "There are too many requests from this caller, try again later.",
        *,
        bound: str = "",
    ) -> None:
        self.wait = wait
        self.bound = bound
        super().__init__(reason)


class OverBudget(TooManyRequests):
    """The node sends more messages or bytes than its budget allows."""

    def __init__(self, wait: float) -> None:
        budget = "The node sends more messages or bytes than its budget allows"
        super().__init__(wait, f"{budget}, try again in {math.ceil(wait)} seconds.")


UnreadSecret = tuple[str, str, Mapping[str, Any]]
"""Namespace and name of a secret, and its sources."""


class SecretUnreadable(CloudError):
    """A value of the secret *name* cannot be read from its source now.

    The reason is for operators, and not in the text: nodes get that.
    """

    code = "SecretUnreadable"

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"The source of the secret ({name}) cannot be read now, try again later.")


class SecretsUnread(SecretUnreadable):
    """Values of *secrets* have to be read from their sources before they can be delivered."""

    def __init__(self, *secrets: UnreadSecret) -> None:
        self.secrets = secrets
        super().__init__(", ".join(name for _, name, _ in secrets)[:200])


class TooSlow(CloudError):
    """The rest of the request did not come in time."""

    code = "RequestTimeout"

    def __init__(self) -> None:
        super().__init__("The rest of the request did not come in time.")


class Unavailable(CloudError):
    """The store cannot answer now; nothing was changed, or it is unknown whether it was."""

    code = "ServiceUnavailable"

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__("The service is not available now, try again.")
