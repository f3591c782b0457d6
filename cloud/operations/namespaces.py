"""Operations of namespaces."""

from collections.abc import Mapping
from datetime import datetime

from cloud.core.namespace import EMPTY, NamespaceCounts
from cloud.core.tokens import EVERYWHERE
from cloud.store.transaction import Transaction


def list_namespaces(
    tx: Transaction, namespace: str, default: str, *, now: datetime
) -> Mapping[str, NamespaceCounts]:
    """The namespaces that a token for *namespace*, or EVERYWHERE, may see, by name.

    Its own, or for EVERYWHERE the *default* one, is there also where it has nothing.
    """
    own = default if namespace == EVERYWHERE else namespace
    found = {own: EMPTY, **tx.count_namespaces(namespace, now)}
    return {name: found[name] for name in sorted(found)}
