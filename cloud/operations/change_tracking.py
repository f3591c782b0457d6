"""The changes of a transaction, collected outside of the work that makes them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, cast

from cloud.core.batch import Record
from cloud.core.commands import Command
from cloud.core.kinds import KINDS, ResourceKind
from cloud.core.resource import Noun
from cloud.operations.kinds import Key, can_be_found, find_thing
from cloud.store.transaction import Transaction

_CHANGES: Mapping[str, str] = {
    "put_properties": "properties",
    "add_records": "record",
    "retry_given_up": "delivery",
    "put_rollout": "rollout",
    "put_api_token": "token",
    "delete_api_token": "token",
    "put_local_user": "user",
    "delete_local_user": "user",
    "add_command": "command",
    "put_certificate": "certificate",
    "revoke_certificates": "certificate",
    "put_install_token": "installToken",
    "delete_install_token": "installToken",
    "delete_install_tokens": "installToken",
}
"""Kind of what these methods of a transaction change."""


@cache
def changes() -> Mapping[str, str]:
    """Kind of what each method of a transaction changes; those of no interest are left out.

    Empty where the arguments show it.
    """
    own = [kind for kind in KINDS if not kind.is_resource]
    return {
        **_CHANGES,
        "put_resource": "",
        "delete_resource": "",
        **{f"put_{kind.method_word}": kind.logged_as for kind in own},
        **{f"delete_{kind.method_word}": kind.logged_as for kind in own if not kind.is_single},
    }


class ChangeTracker:
    """A transaction that remembers how things of one *kind* were, and counts all others.

    Only what is changed is looked up, once.
    """

    def __init__(self, tx: Transaction, kind: str) -> None:
        self._tx = tx
        self._kind = kind
        # Each thing of the kind that was changed, as it was before (None: it was not there).
        self._before: dict[Key, Noun | None] = {}
        # How often things of other kinds were changed.
        self.others: Counter[str] = Counter()

    @property
    def transaction(self) -> Transaction:
        """The transaction for the work."""
        return cast(Transaction, self)

    def __getattr__(self, name: str) -> Any:
        """The method of the transaction itself, watched if it changes something."""
        method = getattr(self._tx, name)
        known = changes().get(name)
        if known is None:
            return method

        def change(*arguments: Any, **named: Any) -> Any:
            kind = known or getattr(arguments[0], "kind", arguments[0]).logged_as
            key = _key(arguments)
            if kind == self._kind and key not in self._before:
                before = find_thing(self._tx, kind, key) if can_be_found(kind) else None
                self._before[key] = before
            result = method(*arguments, **named)
            if kind != self._kind:
                self.others[kind] += _count(arguments) if result is None else int(result)
            return result

        return change

    def changes(self) -> Sequence[tuple[Key, Noun | None, Noun | None]]:
        """Namespace and name of each thing of the kind that was changed, before and after.

        None of kinds that cannot be looked up; see `count`.
        """
        if not can_be_found(self._kind):
            return []
        return [
            (key, before, find_thing(self._tx, self._kind, key))
            for key, before in self._before.items()
        ]

    @property
    def count(self) -> int:
        """How many things of the kind were changed."""
        return len(self._before)


def _key(arguments: tuple[Any, ...]) -> Key:
    """The key that finds a thing again: from the thing itself, or as it was given."""
    noun = arguments[0]
    if isinstance(noun, str | ResourceKind):
        return tuple(part for part in arguments if isinstance(part, str))
    if isinstance(noun, Record):
        return noun.namespace, noun.batch, noun.name
    if isinstance(noun, Command):
        return noun.namespace, noun.name, noun.id
    return getattr(noun, "namespace", ""), getattr(noun, "name", "")


def _count(arguments: tuple[Any, ...]) -> int:
    """How many things are changed at once: as many as were given."""
    return next((len(one) for one in arguments if isinstance(one, list | tuple)), 1)
