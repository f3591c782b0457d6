"""A node: an edge machine, described by the operator."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

import msgspec

from cloud.core.bounds import check_description, check_label_bounds, check_size
from cloud.core.core_configuration import DEFAULT_CORE, CoreConfiguration, Mode
from cloud.core.encryption_key import EncryptionKey
from cloud.core.kinds import NODE, ResourceKind
from cloud.core.names import NODE_NAME_LABEL, check_labels, node_id
from cloud.core.readiness import Heard
from cloud.errors import Invalid

SIZE_LIMIT = 64 * 1024
"""Bytes of one node's description, written as JSON."""


class NodeSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The specification of a node (contract, "Create Node")."""

    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    description: str = ""


@dataclass(frozen=True, slots=True)
class Node:
    """A node as it is stored."""

    kind: ClassVar[ResourceKind] = NODE

    namespace: str
    name: str
    spec: NodeSpec
    created: datetime
    updated: datetime
    mode: Mode = Mode.CLOUD
    core: CoreConfiguration = DEFAULT_CORE

    @property
    def id(self) -> str:
        """Identity on the wire, `{namespace}.{name}`."""
        return node_id(self.namespace, self.name)

    @property
    def labels(self) -> Mapping[str, str]:
        """The labels for selectors: the operator's and the node's own name."""
        return effective_labels(self.name, self.spec.labels)

    @property
    def tag_state(self) -> object:
        """Times and content."""
        return [self.created, self.updated, [self.spec, self.mode, self.core]]

    def described(self) -> Mapping[str, Any]:
        """The node as the audit log shows it."""
        spec: dict[str, Any] = msgspec.to_builtins(self.spec)
        return {**spec, "mode": self.mode, "core": msgspec.to_builtins(self.core)}


def effective_labels(name: str, labels: Mapping[str, str]) -> Mapping[str, str]:
    """Labels of the node *name*: the operator's, and its own name under `baetyl-node-name`."""
    return {**labels, NODE_NAME_LABEL: name}


def checked_node_spec(name: str, spec: NodeSpec) -> NodeSpec:
    """Return *spec* as it is to be stored: valid labels, the node's own name not among them."""
    check_description(spec.description)
    check_label_bounds(spec.labels)
    check_size("", spec, SIZE_LIMIT)
    check_labels("labels", spec.labels)
    labels = dict(spec.labels)
    if labels.pop(NODE_NAME_LABEL, name) != name:
        raise Invalid(f"labels.{NODE_NAME_LABEL}", "is set by the server to the node's name")
    return NodeSpec(labels, spec.annotations, spec.description)


@dataclass(frozen=True, slots=True)
class SeenNode:
    """A node, when it was heard (None: never), and whether all its certificates were revoked.

    *encryption* is the key to which its secrets are sealed, if it has one.
    """

    node: Node
    heard: Heard | None
    is_revoked: bool
    encryption: EncryptionKey | None = None
