"""The audit log: actor, action and resource of each change, in a keyed hash chain.

Every entry bears a code over itself and the code of the one before (HMAC-SHA-256): who has the
entries and not the key can neither change, remove, put in nor reorder one. What is cut off at the
end shows against a head that was noted elsewhere.
"""

import functools
import hmac
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

import msgspec

from cloud.core.kind import ResourceKind
from cloud.core.kinds import KINDS

TEXT_LIMIT = 200
"""Longest text of an outside party, in characters: a name, an address, a reason."""

DONE = "done"
"""Outcome of what was done; everything else is the code of the refusal."""


class ActorKind(StrEnum):
    """The kind of actor."""

    ADMINISTRATOR = "administrator"
    TOKEN = "token"  # noqa: S105
    USER = "user"
    NODE = "node"
    DEVICE = "device"
    COMMAND = "command"
    SERVER = "server"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who it was, an `ActorKind`, as far as that is known.

    Of a token its name and namespace, of a node the same, of a user the provider and the name, of a
    command line the user's name; of a device there is only the address it came from.
    """

    kind: str
    name: str = ""
    namespace: str = ""


ADMINISTRATOR = Actor(ActorKind.ADMINISTRATOR)
DEVICE = Actor(ActorKind.DEVICE)
SERVER = Actor(ActorKind.SERVER)
UNKNOWN = Actor(ActorKind.UNKNOWN)


class Action(StrEnum):
    """Actions of the audit log, as `{kind}.{verb}`, beside the verbs of kinds, which KINDS has.

    Of those only the ones that code names are here too.
    """

    NODE_REVOKE = "node.revoke"
    NODE_CONNECT = "node.connect"
    COMMAND_CREATE = "command.create"
    COMMAND_READ = "command.read"
    PROPERTIES_UPDATE = "properties.update"
    CERTIFICATE_RENEW = "certificate.renew"
    BATCH_GENERATE = "batch.generate"
    RECORD_RESET = "record.reset"
    RECORD_ACTIVATE = "record.activate"
    ROLLOUT_PAUSE = "rollout.pause"
    ROLLOUT_RESUME = "rollout.resume"
    ROLLOUT_APPROVE = "rollout.approve"
    ROLLOUT_PROMOTE = "rollout.promote"
    ROLLOUT_ABORT = "rollout.abort"
    ROLLOUT_ROLLBACK = "rollout.rollback"
    ROLLOUT_HURRY = "rollout.hurry"
    ROLLOUT_START = "rollout.start"
    INSTALLER_READ = "installer.read"
    AGENT_READ = "agent.read"
    SECRET_REFRESH = "secret.refresh"  # noqa: S105
    TOKEN_CREATE = "token.create"  # noqa: S105
    TOKEN_ROTATE = "token.rotate"  # noqa: S105
    TOKEN_DELETE = "token.delete"  # noqa: S105
    USER_CREATE = "user.create"
    USER_UPDATE = "user.update"
    USER_DELETE = "user.delete"
    TOTP_CREATE = "totp.create"
    TOTP_DELETE = "totp.delete"
    SESSION_CREATE = "session.create"
    SESSION_DELETE = "session.delete"
    LOGIN_APPROVE = "login.approve"
    LOGIN_DENY = "login.deny"
    API_AUTHENTICATE = "api.authenticate"
    API_READ = "api.read"
    ADMIN_TOKEN_ROTATE = "admintoken.rotate"  # noqa: S105
    ADMIN_TOKEN_DISABLE = "admintoken.disable"  # noqa: S105
    ADMIN_TOKEN_ENABLE = "admintoken.enable"  # noqa: S105
    SERVER_START = "server.start"
    SERVER_REKEY = "server.rekey"
    SERVER_BACKUP = "server.backup"
    SERVER_RESTORE = "server.restore"
    AUTHORITY_ROTATE = "authority.rotate"
    AUTHORITY_IMPORT = "authority.import"
    AUTHORITY_DROP = "authority.drop"
    AUTHORITY_ENCRYPT = "authority.encrypt"
    LOG_PRUNE = "log.prune"
    LOG_CUT = "log.cut"


def actions() -> frozenset[str]:
    """Everything that can be done; there is nothing else in the log."""
    return _actions(tuple(KINDS))


@functools.cache
def _actions(kinds: tuple[ResourceKind, ...]) -> frozenset[str]:
    return frozenset(Action) | {f"{kind.logged_as}.{verb}" for kind in kinds for verb in kind.verbs}


def is_look(action: str) -> bool:
    """Return whether *action* is a look at one thing, which has an entry."""
    return action.endswith(".read") and action != Action.API_READ


def kind_of(action: str) -> str:
    """The kind of thing that *action* is done to."""
    return action.partition(".")[0]


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempted `Action`; *namespace* `*` is no namespace in particular.

    *reason* is what the caller gave as one. *name* may be completed by what is done.
    """

    actor: Actor
    action: str
    time: datetime
    namespace: str = "*"
    name: str = ""
    address: str = ""
    request_id: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the log.

    *before* and *after* hold, as JSON, what differs; secret values are masked. *also* counts, as
    JSON, what else was changed by the way, or how often the like was left out.
    """

    attempt: Attempt
    outcome: str = DONE
    before: str = ""
    after: str = ""
    also: str = ""


@dataclass(frozen=True, slots=True)
class Head:
    """How far the log goes: the number of its last entry, and the code of that; 0 for none."""

    number: int = 0
    code: str = ""


@dataclass(frozen=True, slots=True)
class Anchor:
    """Where the log begins: after *head*, which is gone. *seal* proves that the server cut it."""

    head: Head
    seal: str


@dataclass(frozen=True, slots=True)
class ChainedEntry:
    """An entry in its place; counted from 1, without gaps."""

    number: int
    entry: Entry
    code: str

    @property
    def head(self) -> Head:
        """The head of a log that ends here."""
        return Head(self.number, self.code)


class Chain:
    """Owns the key of a log."""

    def __init__(self, key: bytes) -> None:
        self._entry_key = hmac.digest(key, b"edgesync audit entry", "sha256")
        self._anchor_key = hmac.digest(key, b"edgesync audit anchor", "sha256")

    def link(self, head: Head, entry: Entry) -> ChainedEntry:
        """Put *entry* behind *head*."""
        number = head.number + 1
        text = head.code.encode() + b"\n" + canonical(number, entry)
        return ChainedEntry(number, entry, hmac.digest(self._entry_key, text, "sha256").hex())

    def anchor(self, head: Head) -> Anchor:
        """Let a log begin after *head*."""
        text = f"{head.number} {head.code}".encode()
        return Anchor(head, hmac.digest(self._anchor_key, text, "sha256").hex())


def canonical(number: int, entry: Entry) -> bytes:
    """Bytes that stand for the entry in its place: a JSON list, always the same for the same."""
    attempt = entry.attempt
    return msgspec.json.encode(
        [
            number,
            attempt.time.astimezone(UTC).isoformat(timespec="microseconds"),
            attempt.actor.kind,
            attempt.actor.name,
            attempt.actor.namespace,
            attempt.action,
            attempt.namespace,
            attempt.name,
            attempt.address,
            attempt.request_id,
            attempt.reason,
            entry.outcome,
            entry.before,
            entry.after,
            entry.also,
        ]
    )


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which entries are wanted; what is empty or None leaves all in.

    *namespace* `*` is every one. *actor* is a name or an `ActorKind`. From *since* on, before
    *until*.
    """

    namespace: str
    actor: str = ""
    action: str = ""
    kind: str = ""
    name: str = ""
    request_id: str = ""
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of checking the whole log.

    *head* is that of the part that is as it was written; *broken* is the number of the first entry
    that is not (0: none), and *reason* states what is wrong with it.
    """

    checked: int
    head: Head
    broken: int = 0
    reason: str = ""


def verify(
    chain: Chain,
    anchor: Anchor,
    links: Iterable[ChainedEntry],
    head: Head,
    *,
    noted: Iterable[Head] = (),
    known_cuts: frozenset[int] = frozenset(),
) -> Verdict:
    """Check that *links*, in the order of their numbers, are what was written, all of it.

    *head* is the end that the log itself names; *noted* are heads it is known to have had.
    Entries that note missing ones before them count as wrong, but for *known_cuts*.
    """
    checked, last, noted = 0, anchor.head, set(noted)
    if not _same(anchor.seal, chain.anchor(anchor.head).seal):
        return Verdict(0, last, last.number + 1, "the beginning of the log was moved")
    for link in links:
        number = min(link.number, last.number + 1)
        reason = _what_is_wrong(link, chain, last, noted)
        if not reason and link.entry.attempt.action == Action.LOG_CUT:
            reason = "" if number in known_cuts else "it notes that entries before it were missing"
        if reason:
            return Verdict(checked, last, number, reason)
        checked, last = checked + 1, link.head
    lost = max(one.number for one in {head, *noted})
    if lost > last.number:
        reason = f"the end is missing: the log went up to entry {lost}"
        return Verdict(checked, last, last.number + 1, reason)
    if head != last:
        return Verdict(checked, last, last.number, "the log does not end at its recorded head")
    return Verdict(checked, last)


def _what_is_wrong(link: ChainedEntry, chain: Chain, last: Head, noted: Collection[Head]) -> str:
    """The error in *link* behind *last*; "" if there is none."""
    expected = chain.link(last, link.entry)
    if link.number > expected.number:
        return "it is missing"
    if link.number < expected.number or not _same(link.code, expected.code):
        return "it was changed, moved or put in"
    if any(one.number == link.number and one.code != link.code for one in noted):
        return "it is not the one that was noted outside of the database"
    return ""


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())


def clean(text: str) -> str:
    """*text* cleaned for the log: one line of printable characters."""
    shown = "".join(char if char.isprintable() else "?" for char in text[: TEXT_LIMIT + 1])
    return shown if len(shown) <= TEXT_LIMIT else f"{shown[: TEXT_LIMIT - 3]}..."
