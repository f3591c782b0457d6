"""The identity providers of a server, opened from its settings."""

import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from cloud.config import BadSettings
from cloud.errors import Invalid
from cloud.http.refusals import RefusalLog
from cloud.store.sealing import Sealer
from cloud.store.transaction import Store

if TYPE_CHECKING:
    from cloud.rest.sign_in.service import SignInService


def open_identity(
    login_file: Path | None,
    sealer: Sealer,
    store: Store,
    refusals: RefusalLog,
    clock: Callable[[], datetime],
    new_id: Callable[[], str],
) -> "SignInService | None":
    """The providers in *login_file*; None without one. BadSettings names what is wrong in it."""
    if login_file is None:
        return None
    # With the HTTP client and the checks of tokens: a fifth of what starting a server takes.
    from cloud.rest.sign_in.login_file import read_login_file
    from cloud.rest.sign_in.pending_sign_in import PendingSignIns
    from cloud.rest.sign_in.service import SignInService

    try:
        clients = read_login_file(login_file, time.monotonic)
    except Invalid as error:
        place = f"{error.field}: " if error.field else ""
        raise BadSettings(f"login_file: {login_file}: {place}{error.reason}") from error
    except OSError as error:
        raise BadSettings(f"login_file: {login_file}: {error.strerror or error}") from error
    return SignInService(
        clients, PendingSignIns(sealer.session_key), store, clock, refusals, new_id
    )
