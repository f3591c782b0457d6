"""Guards of namespaces."""

from cloud.core.guard import ChangeGuard, GuardSpec
from cloud.store.parts.row_sets import Lookup, RowSetPart
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

GUARD_ROWS = Lookup(GUARD, None, lambda _place, rows: rows, ("namespace",))


class GuardPart(RowSetPart):
    """Guards."""

    def guard(self, namespace: str) -> ChangeGuard | None:
        """None where there is none."""
        found = self._sets.value(GUARD_ROWS, (namespace,))
        if not found:
            return None
        share, least = found[0]
        return ChangeGuard(namespace, GuardSpec(float(share), least))

    def put_guard(self, guard: ChangeGuard) -> None:
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
