"""Logins of the command line that wait for a user."""

from datetime import datetime, timedelta

from cloud.core.device_logins import DeviceLogin
from cloud.store.parts.part import TransactionPart, first
from cloud.store.rows import Parameters, Row, micros, moment
from cloud.store.statements import statement

_COLUMNS = """digest, user_code, address, site, created, expires, polled, poll_interval, session,
    denied"""
_MICROSECOND = timedelta(microseconds=1)
DEVICE_LOGIN = statement(
    f"SELECT {_COLUMNS} FROM device_login WHERE digest = :digest",  # noqa: S608
    reads={"device_login"},
)
DEVICE_LOGIN_BY_CODE = statement(
    f"SELECT {_COLUMNS} FROM device_login WHERE user_code = :user_code",  # noqa: S608
    reads={"device_login"},
)
COUNT_DEVICE_LOGINS = statement(
    """
    SELECT count(*), coalesce(sum(CASE WHEN site = :site THEN 1 ELSE 0 END), 0)
    FROM device_login WHERE expires > :now
    """,
    reads={"device_login"},
)
MOST_CROWDED_DEVICE_LOGIN = statement(
    f"""
    SELECT {_COLUMNS} FROM device_login
    WHERE expires > :now AND session = '' AND denied = 0 AND site = (
        SELECT site FROM device_login WHERE expires > :now AND session = '' AND denied = 0
        GROUP BY site ORDER BY count(*) DESC, site LIMIT 1
    )
    ORDER BY created, digest LIMIT 1
    """,  # noqa: S608
    reads={"device_login"},
)
PUT_DEVICE_LOGIN = statement(
    f"""
    INSERT INTO device_login ({_COLUMNS})
    VALUES (:digest, :user_code, :address, :site, :created, :expires, :polled, :poll_interval,
        :session, :denied)
    ON CONFLICT (digest) DO UPDATE SET
        polled = excluded.polled, poll_interval = excluded.poll_interval,
        session = excluded.session, denied = excluded.denied
    """,  # noqa: S608
    writes={"device_login"},
)
DELETE_DEVICE_LOGIN = statement(
    "DELETE FROM device_login WHERE digest = :digest",
    writes={"device_login"},
)
FORGET_DEVICE_LOGINS = statement(
    "DELETE FROM device_login WHERE expires <= :before",
    writes={"device_login"},
)


class DeviceLoginPart(TransactionPart):
    """Logins of the command line."""

    def device_login(self, digest: str) -> DeviceLogin | None:
        """The login whose device code has that digest; it may have expired."""
        return first(_login_of, self._run(DEVICE_LOGIN, {"digest": digest}))

    def device_login_by_code(self, user_code: str) -> DeviceLogin | None:
        """The login with that user code; it may have expired."""
        return first(_login_of, self._run(DEVICE_LOGIN_BY_CODE, {"user_code": user_code}))

    def count_device_logins(self, site: str, now: datetime) -> tuple[int, int]:
        """How many have not expired: all of them, and those of *site*."""
        key: Parameters = {"site": site, "now": micros(now)}
        total, own = self._run(COUNT_DEVICE_LOGINS, key)[0]
        return total, int(own)

    def most_crowded_device_login(self, now: datetime) -> DeviceLogin | None:
        """Of those that wait the oldest one of the site that has most of them."""
        return first(_login_of, self._run(MOST_CROWDED_DEVICE_LOGIN, {"now": micros(now)}))

    def put_device_login(self, login: DeviceLogin) -> None:
        """Keep a login, or what became of it."""
        row: Parameters = {
            "digest": login.digest,
            "user_code": login.user_code,
            "address": login.address,
            "site": login.site,
            "created": micros(login.created),
            "expires": micros(login.expires),
            "polled": micros(login.polled),
            "poll_interval": login.interval // _MICROSECOND,
            "session": login.session,
            "denied": int(login.is_denied),
        }
        self._run(PUT_DEVICE_LOGIN, row)

    def delete_device_login(self, digest: str) -> None:
        """Forget a login that is over."""
        self._run(DELETE_DEVICE_LOGIN, {"digest": digest})

    def forget_device_logins(self, before: datetime) -> None:
        """Forget those that expired *before*."""
        self._run(FORGET_DEVICE_LOGINS, {"before": micros(before)})


def _login_of(row: Row) -> DeviceLogin:
    digest, user_code, address, site, created, expires, polled, interval, session, denied = row
    return DeviceLogin(
        digest,
        user_code,
        address,
        site,
        moment(created),
        moment(expires),
        moment(polled),
        timedelta(microseconds=interval),
        session,
        bool(denied),
    )
