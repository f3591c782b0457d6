"""The errors of the server; no status codes and no framework here (those are in rest/errors.py).

CloudError
├── Invalid             the caller sent something wrong; the message names the field
│   └── QuotaExceeded   a batch holds as many records as it may
├── Denied              the caller did not prove who it is
├── NotFound            the thing is not there (or not the caller's)
├── InUse               the thing is there and something needs it to stay as it is
├── Conflict            somebody else changed it first
└── Unavailable         the store cannot answer now; the same call may succeed later
"""


class CloudError(Exception):
    """Anything the server refuses on purpose; its text is safe to show to the caller."""


class Invalid(CloudError):
    """Bad input: *field* is the path of what is wrong ("" for the whole), *reason* says why."""

    def __init__(self, field: str, reason: str) -> None:
        self.field = field
        self.reason = reason
        detail = f"{field}: {reason}" if field else reason
        super().__init__(f"The request parameter is invalid. ({detail})")


class QuotaExceeded(Invalid):
    """A batch has *quota* records already and takes no more."""

    def __init__(self, batch: str, quota: int) -> None:
        self.batch = batch
        self.quota = quota
        super().__init__("", f"the batch {batch} has reached its quota of {quota} records")


class Denied(CloudError):
    """The caller did not prove who it is, or may not do this."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"Access denied. ({reason})")


class NotFound(CloudError):
    """Nothing of that *kind* and *name* is there for this caller."""

    def __init__(self, kind: str, name: str) -> None:
        self.kind = kind
        self.name = name
        super().__init__(f"The ({kind}) resource ({name}) is not found.")


class InUse(CloudError):
    """The thing cannot go, or its name cannot be taken: *users* says by what."""

    def __init__(self, kind: str, name: str, users: str = "") -> None:
        self.kind = kind
        self.name = name
        self.users = users
        by = f" by {users}" if users else ""
        super().__init__(f"The ({kind}) resource ({name}) has been used{by}.")


class Conflict(CloudError):
    """A write that lost against another write of the same thing."""

    def __init__(self, kind: str, name: str) -> None:
        self.kind = kind
        self.name = name
        super().__init__(f"The ({kind}) resource ({name}) was changed by somebody else.")


class Unavailable(CloudError):
    """The store cannot answer now; nothing was changed, or it is unknown whether it was."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__("The service is not available now, try again.")
