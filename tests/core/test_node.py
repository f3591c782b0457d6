import msgspec
from hypothesis import given

from cloud.core.names import NODE_NAME_LABEL
from cloud.core.node import Node, NodeSpec, checked_node_spec, effective_labels
from tests.core.refusals import field_refused
from tests.core.strategies import START, names


def test_a_node_is_known_on_the_wire_by_namespace_and_name() -> None:
    assert Node("default", "n1.b", NodeSpec(), START, START).id == "default.n1.b"


@given(names())
def test_every_node_bears_its_name_as_a_label(name: str) -> None:
    node = Node("default", name, NodeSpec(labels={"env": "dev"}), START, START)
    assert node.labels == {"env": "dev", NODE_NAME_LABEL: name}
    assert effective_labels(name, {NODE_NAME_LABEL: "forged"}) == {NODE_NAME_LABEL: name}


def test_the_own_name_is_not_kept_among_the_labels() -> None:
    spec = NodeSpec({"env": "dev", NODE_NAME_LABEL: "n1"}, {"any": "text\n"}, "a node")
    kept = checked_node_spec("n1", spec)
    assert kept == msgspec.structs.replace(spec, labels={"env": "dev"})
    assert NODE_NAME_LABEL in spec.labels


def test_another_nodes_name_is_refused() -> None:
    spec = NodeSpec(labels={NODE_NAME_LABEL: "n2"})
    assert field_refused(checked_node_spec, "n1", spec) == f"labels.{NODE_NAME_LABEL}"


def test_wrong_labels_are_refused() -> None:
    assert field_refused(checked_node_spec, "n1", NodeSpec(labels={"a b": ""})) == "labels"
    assert field_refused(checked_node_spec, "n1", NodeSpec(labels={"a": "b c"})) == "labels.a"
