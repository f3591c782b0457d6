"""Hints for errors of the REST API and of the connection: one line each, or none."""

import ssl

from edgesync.cli.api.http_client import httpx

_BY_CODE = {
    "ConfirmationRequired": "See the affected nodes with --dry-run, then repeat with --confirm.",
    "RequestMethodNotFound": "This server has no such endpoint; it may be older than this command.",
    "PreconditionFailed": "It was changed in the meantime: read it again and repeat.",
    "ResourceHasBeenUsed": "Remove the references to it first; `edgesync describe` lists them.",
}
_BY_STATUS = {
    401: "Invalid or expired token: log in again with `edgesync login URL`. An administrator"
    " creates tokens with `edgesync token create`.",
    403: "This requires a token with another role or namespace; `edgesync context show` shows"
    " the current server.",
    404: "`edgesync get KIND` lists resources; -n selects the namespace.",
    503: "The server is temporarily unavailable; retry later.",
}


def hint_for(status: int, code: str) -> str:
    """A hint for a response with *status* and *code*."""
    return _BY_CODE.get(code) or _BY_STATUS.get(status, "")


def hint_for_lost(error: httpx.HTTPError) -> str:
    """A hint for a lost connection."""
    if _is_distrust(error):
        return "Pass the server's CA certificate with --ca (its data/ca/root.pem)."
    if isinstance(error, httpx.ConnectError):
        return "Check that the server runs at this address (`edgesync context show`)."
    return ""


def _is_distrust(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError) or "CERTIFICATE_VERIFY" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False
