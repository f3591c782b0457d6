"""What to do next when a server says no, or says nothing: one line for people, or none."""

import ssl

from edgesync.cli.api.http_client import httpx

_BY_CODE = {
    "ConfirmationRequired": "See whom it reaches with --dry-run, then repeat it with --confirm.",
    "RequestMethodNotFound": "This server does not know that; it may be older than this command.",
    "PreconditionFailed": "Somebody changed it meanwhile: look at it again and repeat.",
    "ResourceHasBeenUsed": "Take it out of what uses it first; `edgesync describe` names that.",
}
_BY_STATUS = {
    401: "The token opens nothing here: `edgesync login URL` with one that does, or ask whoever"
    " makes tokens (`edgesync token create`).",
    403: "This takes a token with another role or namespace; `edgesync context show` says which"
    " server is asked.",
    404: "`edgesync get KIND` lists what is there; -n says in which namespace.",
    503: "The server cannot answer now; the same call may succeed later.",
}


def hint_for(status: int, code: str) -> str:
    """What helps where a server answers with *status* and *code*."""
    return _BY_CODE.get(code) or _BY_STATUS.get(status, "")


def hint_for_lost(error: httpx.HTTPError) -> str:
    """What helps where no answer came."""
    if _is_distrust(error):
        return "Name the certificate of the server's authority with --ca (its data/ca/root.pem)."
    if isinstance(error, httpx.ConnectError):
        return "Is it running, and is this its address? `edgesync context show` says what is asked."
    return ""


def _is_distrust(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError) or "CERTIFICATE_VERIFY" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False
