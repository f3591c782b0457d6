"""The errors of the client; `except ClientError` takes all of them.

ClientError
├── AccessError         address, token, CA certificate or context cannot be used; nothing was sent
├── ConnectionLost      no answer; the call may have been carried out
├── UnreadableAnswer    the answer is not one of this API, or of a newer one
├── ApiError            the server refused a call
│   ├── InvalidCall     400, 408, 413, 415, 431: the call is wrong; `field` names what is
│   ├── Unauthenticated  401: the token is missing, wrong or expired
│   ├── NotPermitted    403: the token may not do this, or something still uses the resource
│   ├── NotFoundError   404: the resource does not exist
│   ├── ConflictError   409: another change came first, or the guard asks for confirmation
│   │   └── NotConfirmed  it touches more nodes than the guard lets through unconfirmed
│   ├── ChangedMeanwhile  412: the resource is not the one that `if_match` names
│   ├── GoneError       410: what the call goes on from is no longer stored
│   └── ServerBusy      429, 503: refused after all retries; the same call may succeed later
└── NotConverged        a wait ended without success
    ├── RolloutFailed   nodes failed, and no other is still to come
    └── WaitTimeout     the time is over
"""

from collections.abc import Sequence
from dataclasses import dataclass


class ClientError(Exception):
    """Anything that the client raises on purpose."""


class AccessError(ClientError):
    """The server cannot be called: address, token, CA certificate or context cannot be used."""


class ConnectionLost(ClientError):
    """No answer came from *url*; *was_sent*: the call may have been carried out.

    The cause is the error of httpx.
    """

    def __init__(self, url: str, reason: str, *, was_sent: bool) -> None:
        super().__init__(f"{url}: {reason}")
        self.url = url
        self.was_sent = was_sent


class UnreadableAnswer(ClientError):
    """The answer is none of this API, or of a newer one."""


@dataclass(frozen=True, slots=True)
class ApiRefusal:
    """What a server answered in place of what was asked: *status* is HTTP's.

    *code* is the API's, by which programs distinguish errors, *field* the path of what is wrong in
    the body; both are empty where the answer has none. *request_id* finds the call in the server's
    log. *method*, *url* and *path* are those of the call.
    """

    status: int
    code: str
    message: str
    field: str = ""
    request_id: str = ""
    method: str = ""
    url: str = ""
    path: str = ""


class ApiError(ClientError):
    """The server refused a call; the attributes are those of the *refusal*."""

    def __init__(self, refusal: ApiRefusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal

    @property
    def status(self) -> int:
        """The status of HTTP."""
        return self.refusal.status

    @property
    def code(self) -> str:
        """The API's code of the error; empty where the answer was not the API's."""
        return self.refusal.code

    @property
    def message(self) -> str:
        """The reason, in a sentence."""
        return self.refusal.message

    @property
    def field(self) -> str:
        """The path of what is wrong in the body, like `services[0].image`; empty if unknown."""
        return self.refusal.field

    @property
    def request_id(self) -> str:
        """The id under which the server logged the call."""
        return self.refusal.request_id


class InvalidCall(ApiError):
    """The call is wrong; `field` has the path of what is."""


class Unauthenticated(ApiError):
    """The token is missing, wrong or expired."""


class NotPermitted(ApiError):
    """The token may not do this; or something still uses the resource (`ResourceHasBeenUsed`)."""


class NotFoundError(ApiError):
    """The resource does not exist, or not in this namespace."""


class ConflictError(ApiError):
    """Another change came first, or the call has to be confirmed."""


class NotConfirmed(ConflictError):
    """The change affects more nodes than the guard permits without `confirm`."""


class ChangedMeanwhile(ApiError):
    """The resource is not in the state that `if_match` names: read it again."""


class GoneError(ApiError):
    """What the call goes on from, like a position in a list, is no longer stored."""


class ServerBusy(ApiError):
    """Too many calls, or the server is unavailable; the same call may succeed later."""


class NotConverged(ClientError):
    """A wait ended without success; *causes* are like `12 x image not found` or `n1: no route`."""

    def __init__(self, message: str, causes: Sequence[str] = ()) -> None:
        super().__init__("\n  ".join((message, *causes)))
        self.causes = tuple(causes)


class RolloutFailed(NotConverged):
    """Nodes failed with what is wanted, and none is still to come."""


class WaitTimeout(NotConverged):
    """The time is over; the *causes* are of what failed until then."""


def is_unknown_parameter(refusal: ApiRefusal) -> bool:
    """Return whether the server does not know a query parameter of the call, as an older one."""
    return refusal.status == 400 and "unknown query parameter" in refusal.message


def is_unknown_route(refusal: ApiRefusal) -> bool:
    """Return whether the server does not know the path of the call, as an older one."""
    return refusal.code == "RequestMethodNotFound"


_BY_CODE: dict[str, type[ApiError]] = {"ConfirmationRequired": NotConfirmed}
_BY_STATUS: dict[int, type[ApiError]] = {
    400: InvalidCall,
    401: Unauthenticated,
    403: NotPermitted,
    404: NotFoundError,
    408: InvalidCall,
    409: ConflictError,
    410: GoneError,
    412: ChangedMeanwhile,
    413: InvalidCall,
    415: InvalidCall,
    429: ServerBusy,
    431: InvalidCall,
    503: ServerBusy,
}


def api_error(refusal: ApiRefusal) -> ApiError:
    """The error for *refusal*, of the class of its code or else its status."""
    kind = _BY_CODE.get(refusal.code) or _BY_STATUS.get(refusal.status, ApiError)
    return kind(refusal)
