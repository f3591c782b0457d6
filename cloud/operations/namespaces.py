"""Operations of namespaces."""

from collections.abc import Collection, Mapping
from datetime import datetime

from cloud.core.namespace import EMPTY, NamespaceCounts
from cloud.core.tokens import EVERYWHERE
from cloud.store.transaction import Transaction


def list_namespaces(
    tx: Transaction, grants: Collection[str], default: str, *, now: datetime
) -> Mapping[str, NamespaceCounts]:
    """The namespaces that who may list those of *grants* may see, by name.

    They are there also where they have nothing; for EVERYWHERE the *default* one is.
    """
    found: dict[str, NamespaceCounts] = {}
    for namespace in [EVERYWHERE] if EVERYWHERE in grants else grants:
        found[default if namespace == EVERYWHERE else namespace] = EMPTY
        found |= tx.count_namespaces(namespace, now)
    return {name: found[name] for name in sorted(found)}
