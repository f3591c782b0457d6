"""Guards of namespaces."""

from cloud.core.guard import Guard, GuardSpec
from cloud.store.parts.part import TransactionPart
from cloud.store.statements import statement

GUARD = statement(
    "SELECT max_share, min_nodes FROM guard WHERE namespace = :namespace",
    reads={"guard"},
)
PUT_GUARD = statement(
    """
    INSERT INTO guard (namespace, max_share, min_nodes) VALUES (:namespace, :max_share, :min_nodes)
    ON CONFLICT (namespace) DO UPDATE SET
        max_share = excluded.max_share, min_nodes = excluded.min_nodes
    """,
    writes={"guard"},
)


class GuardPart(TransactionPart):
    """Guards."""

    def guard(self, namespace: str) -> Guard | None:
        """None where there is none."""
        found = self._run(GUARD, {"namespace": namespace})
        if not found:
            return None
        share, least = found[0]
        return Guard(namespace, GuardSpec(float(share), least))

    def put_guard(self, guard: Guard) -> None:
        """In place of the one that was there."""
        spec = guard.spec
        self._run(
            PUT_GUARD,
            {
                "namespace": guard.namespace,
                "max_share": repr(float(spec.max_share)),
                "min_nodes": spec.min_nodes,
            },
        )
