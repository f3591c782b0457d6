"""What people do with nodes."""

from dataclasses import replace

import pytest

from cloud.core.certificate import NodeCertificate
from cloud.core.listing import ListOptions
from cloud.core.node import NodeSpec
from cloud.core.node_labels import LabelledNodes, NodeLabelsDraft
from cloud.core.readiness import Heard
from cloud.core.report import Order, read_report
from cloud.errors import Forbidden, Invalid, NotFound
from cloud.operations import nodes
from cloud.operations.apps import create_app
from cloud.operations.node_labels import label_nodes
from cloud.operations.node_scope import NodeScope
from cloud.store.transaction import Store, Transaction
from tests.operations.conftest import LATER, NAMESPACE, NOW, add_nodes, app_spec, stale_after

SPEC = NodeSpec(labels={"role": "gateway"}, annotations={"brand": "x"}, description="first")


async def test_a_created_node_is_kept_as_described_and_never_seen(store: Store) -> None:
    seen = await store.write(lambda tx: nodes.create_node(tx, NAMESPACE, "n1", SPEC, now=NOW))
    assert seen.heard is None
    assert seen.node.spec == SPEC
    assert (seen.node.created, seen.node.updated) == (NOW, NOW)
    found = await store.read(lambda tx: nodes.read_node(tx, NAMESPACE, "n1"))
    assert found.node == seen.node
    reported = await store.read(lambda tx: nodes.read_reported_node(tx, NAMESPACE, "n1"))
    assert (reported.node, reported.heard, reported.report) == (seen.node, None, None)


async def test_the_name_of_a_node_is_given_once(store: Store) -> None:
    await store.write(lambda tx: nodes.create_node(tx, NAMESPACE, "n1", SPEC, now=NOW))
    with pytest.raises(Invalid) as caught:
        await store.write(lambda tx: nodes.create_node(tx, NAMESPACE, "n1", SPEC, now=NOW))
    assert caught.value.field == "name"
    await store.write(lambda tx: nodes.create_node(tx, "other", "n1", SPEC, now=NOW))


@pytest.mark.parametrize("name", ["", "N1", "a/b", "-a", "a..b", "n" * 57, "a b"])
async def test_a_bad_name_is_refused(store: Store, name: str) -> None:
    with pytest.raises(Invalid) as caught:
        await store.write(lambda tx: nodes.create_node(tx, NAMESPACE, name, SPEC, now=NOW))
    assert caught.value.field == "name"


async def test_putting_the_same_node_twice_changes_nothing(store: Store) -> None:
    created = await store.write(lambda tx: nodes.create_node(tx, NAMESPACE, "n1", SPEC, now=NOW))

    def put(tx: Transaction) -> None:
        assert nodes.update_node(tx, NAMESPACE, "n1", SPEC, now=LATER).node == created.node

    assert await stale_after(store, put) == set()


async def test_relabelling_a_node_marks_it_and_no_other_stale(store: Store) -> None:
    await store.write(lambda tx: add_nodes(tx, n1="gateway", n2="gateway"))
    spec = NodeSpec(labels={"role": "camera"})
    stale = await stale_after(
        store, lambda tx: nodes.update_node(tx, NAMESPACE, "n1", spec, now=LATER)
    )
    assert stale == {"n1"}


async def test_describing_a_node_again_keeps_its_age_and_updates_no_node(store: Store) -> None:
    await store.write(lambda tx: nodes.create_node(tx, NAMESPACE, "n1", SPEC, now=NOW))
    spec = NodeSpec(labels=SPEC.labels, description="second")

    def put(tx: Transaction) -> None:
        node = nodes.update_node(tx, NAMESPACE, "n1", spec, now=LATER).node
        assert (node.created, node.updated) == (NOW, LATER)
        assert node.spec.annotations == {}

    assert await stale_after(store, put) == set()


async def test_deleting_a_node_takes_its_certificates_back(store: Store) -> None:
    certificate = NodeCertificate(7, "default.n1", NOW, LATER)

    def prepare(tx: Transaction) -> None:
        nodes.create_node(tx, NAMESPACE, "n1", SPEC, now=NOW)
        tx.put_certificate(certificate)

    await store.write(prepare)
    await store.write(lambda tx: nodes.delete_node(tx, NAMESPACE, "n1", now=LATER))
    found = await store.read(lambda tx: tx.certificate(7))
    assert found == replace(certificate, revoked=LATER)
    with pytest.raises(NotFound):
        await store.read(lambda tx: nodes.read_node(tx, NAMESPACE, "n1"))


@pytest.mark.parametrize(
    "work",
    [
        lambda tx: nodes.read_node(tx, NAMESPACE, "n1"),
        lambda tx: nodes.update_node(tx, NAMESPACE, "n1", SPEC, now=NOW),
        lambda tx: nodes.delete_node(tx, NAMESPACE, "n1", now=NOW),
        lambda tx: nodes.apps_of_node(tx, NAMESPACE, "n1"),
    ],
)
async def test_a_node_that_is_not_there_is_not_found(store: Store, work: object) -> None:
    assert callable(work)
    await store.write(lambda tx: nodes.create_node(tx, "other", "n1", SPEC, now=NOW))
    with pytest.raises(NotFound) as caught:
        await store.write(work)
    assert (caught.value.kind, caught.value.name) == ("node", "n1")


async def test_a_node_is_seen_when_it_reports(store: Store) -> None:
    def prepare(tx: Transaction) -> None:
        add_nodes(tx, n1="gateway", n2="gateway")
        tx.put_report(NAMESPACE, "n1", read_report({"apps": []}, Order()), "json", LATER)

    await store.write(prepare)
    page = await store.read(lambda tx: nodes.list_nodes(tx, NAMESPACE, ListOptions()))
    assert {seen.node.name: seen.heard for seen in page.items} == {"n1": Heard(LATER), "n2": None}
    updated = await store.write(
        lambda tx: nodes.update_node(tx, NAMESPACE, "n1", NodeSpec(), now=LATER)
    )
    assert updated.heard == Heard(LATER)


async def test_nodes_are_listed_by_label_and_by_their_own_name(store: Store) -> None:
    await store.write(lambda tx: add_nodes(tx, n1="gateway", n2="camera", n3="gateway"))

    async def names(options: ListOptions) -> list[str]:
        page = await store.read(lambda tx: nodes.list_nodes(tx, NAMESPACE, options))
        assert page.total == len(page.items)
        return [seen.node.name for seen in page.items]

    assert await names(ListOptions(selector="role in (gateway)")) == ["n1", "n3"]
    assert await names(ListOptions(selector="baetyl-node-name=n2")) == ["n2"]
    assert await names(ListOptions(field_selector="metadata.name!=n2")) == ["n1", "n3"]


async def test_the_apps_of_a_node_are_those_that_select_it(store: Store) -> None:
    def prepare(tx: Transaction) -> list[str]:
        add_nodes(tx, n1="gateway")
        for name, selector in (("a", "role=gateway"), ("b", "role=camera"), ("c", "")):
            create_app(tx, NAMESPACE, name, app_spec(selector), now=NOW)
        return [app.name for app in nodes.apps_of_node(tx, NAMESPACE, "n1")]

    assert await store.write(prepare) == ["a"]


async def test_labels_for_a_limited_role_give_no_app(store: Store) -> None:
    await store.write(lambda tx: add_nodes(tx, n1="camera", n2="camera"))
    await store.write(
        lambda tx: create_app(tx, NAMESPACE, "prices", app_spec("kind=till"), now=NOW)
    )

    async def label(value: str, within: str) -> LabelledNodes:
        draft = NodeLabelsDraft(labels={"kind": value}, selector="baetyl-node-name")
        return await store.write(
            lambda tx: label_nodes(tx, NAMESPACE, draft, within=within, now=LATER)
        )

    for within in ("role=camera", "role"):
        with pytest.raises(Forbidden, match="assigns no apps"):
            await label("till", within)
    found = await store.read(lambda tx: nodes.read_node(tx, NAMESPACE, "n1"))
    assert "kind" not in found.node.labels
    assert await label("other", "role=camera") == LabelledNodes(2, 2)
    assert await label("till", "") == LabelledNodes(2, 2)
    scope = NodeScope(NAMESPACE, "n1", "role=camera", frozenset({"role"}))

    async def put(**labels: str) -> None:
        spec = NodeSpec(labels=labels)
        await store.write(
            scope.around(lambda tx: nodes.update_node(tx, NAMESPACE, "n1", spec, now=LATER))
        )

    await put(role="camera", kind="till", floor="2")
    await put(role="camera")
    with pytest.raises(Forbidden, match="assigns no apps"):
        await put(role="camera", kind="till")
