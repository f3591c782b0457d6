"""Users that the server itself keeps; the secrets of their second factors are sealed."""

import msgspec

from cloud.core.listing import ListOptions, Page, Place
from cloud.core.local_users import LocalUser
from cloud.store.parts.part import NOTHING, TransactionPart, first, page_bounds, page_of
from cloud.store.rows import Parameters, Row, micros, moment
from cloud.store.statements import statement

TOTP_PLACE = "totp"
"""Place of a sealed secret, before the id of its user."""

_COLUMNS = "name, id, password, grants, totp, totp_step, disabled, created, updated"
LOCAL_USER = statement(
    f"SELECT {_COLUMNS} FROM local_user WHERE name = :name",  # noqa: S608
    reads={"local_user"},
)
LOCAL_USERS_PAGE = statement(
    f"""
    SELECT {_COLUMNS} FROM local_user WHERE (created, name) > (:after, :after_name)
    ORDER BY created, name LIMIT :limit
    """,  # noqa: S608
    reads={"local_user"},
)
COUNT_LOCAL_USERS = statement("SELECT count(*) FROM local_user", reads={"local_user"})
PUT_LOCAL_USER = statement(
    f"""
    INSERT INTO local_user ({_COLUMNS})
    VALUES (:name, :id, :password, :grants, :totp, :totp_step, :disabled, :created, :updated)
    ON CONFLICT (name) DO UPDATE SET
        id = excluded.id, password = excluded.password, grants = excluded.grants,
        totp = excluded.totp, totp_step = excluded.totp_step, disabled = excluded.disabled,
        created = excluded.created, updated = excluded.updated
    """,  # noqa: S608
    writes={"local_user"},
)
SET_TOTP_STEP = statement(
    """
    UPDATE local_user SET totp_step = :step WHERE name = :name AND totp_step < :step
    RETURNING name
    """,
    writes={"local_user"},
)
DELETE_LOCAL_USER = statement(
    "DELETE FROM local_user WHERE name = :name RETURNING name",
    writes={"local_user"},
)
SEALED_TOTPS = statement(
    "SELECT name, id, totp FROM local_user WHERE totp <> '' ORDER BY name",
    reads={"local_user"},
)
RESEAL_TOTP = statement(
    "UPDATE local_user SET totp = :document WHERE name = :name",
    writes={"local_user"},
)


class LocalUserPart(TransactionPart):
    """Users that the server itself keeps."""

    def local_user(self, name: str) -> LocalUser | None:
        """The user of that name."""
        return first(self._user_of, self._run(LOCAL_USER, {"name": name}))

    def list_local_users(self, options: ListOptions) -> Page[LocalUser]:
        """Oldest first. No selectors."""
        rows = self._run(LOCAL_USERS_PAGE, page_bounds(options))
        found = [self._user_of(row) for row in rows]
        return page_of(found, self.count_local_users(), options.limit, _place_of)

    def count_local_users(self) -> int:
        """How many there are."""
        count: int = self._run(COUNT_LOCAL_USERS, NOTHING)[0][0]
        return count

    def put_local_user(self, user: LocalUser) -> None:
        """In place of the one of that name."""
        totp = self._sealer.seal(user.totp.encode(), TOTP_PLACE, user.id) if user.totp else ""
        row: Parameters = {
            "name": user.name,
            "id": user.id,
            "password": user.password,
            "grants": msgspec.json.encode(user.grants).decode(),
            "totp": totp,
            "totp_step": user.totp_step,
            "disabled": int(user.is_disabled),
            "created": micros(user.created),
            "updated": micros(user.updated),
        }
        self._run(PUT_LOCAL_USER, row)

    def set_totp_step(self, name: str, step: int) -> bool:
        """Remember that a code of *step* was used; False if one of it, or of a later one, was."""
        return bool(self._run(SET_TOTP_STEP, {"name": name, "step": step}))

    def delete_local_user(self, user: LocalUser) -> bool:
        """Whether it was there."""
        return bool(self._run(DELETE_LOCAL_USER, {"name": user.name}))

    def _user_of(self, row: Row) -> LocalUser:
        name, own_id, password, grants, totp, step, disabled, created, updated = row
        return LocalUser(
            name,
            own_id,
            password,
            msgspec.json.decode(grants, type=dict[str, str]),
            moment(created),
            moment(updated),
            bool(disabled),
            self._sealer.unseal(totp, TOTP_PLACE, own_id).decode() if totp else "",
            step,
        )


def _place_of(user: LocalUser) -> Place:
    return user.created, user.name
