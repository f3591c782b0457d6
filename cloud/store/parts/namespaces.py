"""Namespaces, and how much each has: counted by index, no document is read for it."""

from collections.abc import Mapping
from datetime import datetime

from cloud.core.namespace import EMPTY, NamespaceCounts
from cloud.core.tokens import EVERYWHERE
from cloud.store.node_conditions import moments_of_states
from cloud.store.parts.node_status import STATE_COUNTS, states_of
from cloud.store.parts.part import TransactionPart
from cloud.store.rows import Parameters
from cloud.store.statements import Fragment, fragment, joined

# What is counted of each namespace.
OF_NODES = (fragment("SELECT namespace, "), STATE_COUNTS)
# Of all kinds, as a namespace may have a configuration alone.
OF_RESOURCES = fragment(
    "SELECT namespace, sum(CASE WHEN kind = 'app' THEN 1 ELSE 0 END) FROM resource",
    reads={"resource"},
)
OF_BATCHES = fragment("SELECT namespace, count(*) FROM batch", reads={"batch"})
OF_TOKENS = fragment("SELECT namespace, count(*) FROM api_token", reads={"api_token"})
_OF_ONE = fragment(" WHERE namespace = :namespace")
_EACH = fragment(" GROUP BY namespace")


class NamespacePart(TransactionPart):
    """Namespaces."""

    def count_namespaces(self, namespace: str, now: datetime) -> Mapping[str, NamespaceCounts]:
        """Each namespace that has a node, a resource, a batch or a token, as it is at *now*.

        Of EVERYWHERE all, else the one alone. Looks at the status of every node.
        """
        more = () if namespace == EVERYWHERE else (_OF_ONE,)
        where: Parameters = {} if namespace == EVERYWHERE else {"namespace": namespace}

        def count(what: Fragment) -> Mapping[str, int]:
            found = self._run(joined(what, *more, _EACH), where)
            return {name: int(number) for name, number in found}

        found = self._run(joined(*OF_NODES, *more, _EACH), {**where, **moments_of_states(now)})
        nodes = {name: states_of(row) for name, *row in found}
        apps, batches, tokens = map(count, (OF_RESOURCES, OF_BATCHES, OF_TOKENS))
        return {
            name: NamespaceCounts(
                nodes.get(name, EMPTY.nodes), apps.get(name, 0), batches.get(name, 0)
            )
            for name in sorted({*nodes, *apps, *batches, *tokens} - {EVERYWHERE})
        }
