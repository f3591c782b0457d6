"""What every store promises of the counts of namespaces."""

from cloud.core.namespace import NamespaceCounts
from cloud.core.readiness import NodeState
from cloud.core.tokens import EVERYWHERE
from cloud.store.transaction import Store, Transaction
from tests.store.conftest import NOW, app, node, report

NONE = dict.fromkeys(NodeState, 0)


async def test_each_namespace_is_counted_by_what_it_has(store: Store) -> None:
    def story(tx: Transaction) -> None:
        for name in ("n", "m"):
            tx.put_node(node(name, "shop"))
        tx.put_report("shop", "n", report(), "json", NOW)
        tx.put_resource(app("web", "shop"))
        tx.put_resource(app("log", "lab"))
        shop = NamespaceCounts({**NONE, NodeState.ONLINE: 1, NodeState.NEVER: 1}, apps=1)
        lab = NamespaceCounts(NONE, apps=1)
        assert tx.count_namespaces(EVERYWHERE, NOW) == {"lab": lab, "shop": shop}
        assert tx.count_namespaces("shop", NOW) == {"shop": shop}
        assert tx.count_namespaces("other", NOW) == {}

    await store.write(story)
