"""Certificates of nodes by their expiry."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from cloud.core.expiry import CertificateEnd, bounds_from, buckets
from cloud.core.listing import ListOptions, Page
from cloud.core.node import SeenNode
from cloud.errors import NotFound
from cloud.operations.node_scope import is_within
from cloud.operations.nodes import read_node
from cloud.store.transaction import Transaction


@dataclass(frozen=True, slots=True)
class EndingNode:
    """A node, and the end of its last certificate."""

    seen: SeenNode
    end: CertificateEnd


def list_ending(
    tx: Transaction, namespace: str, before: datetime, options: ListOptions
) -> Page[EndingNode]:
    """Nodes whose last certificate ends before *before*, the first to end first.

    Nodes without a certificate, as none was given out or all were revoked, are not among them.
    """

    def ending(end: CertificateEnd) -> EndingNode:
        return EndingNode(read_node(tx, end.namespace, end.name), end)

    return tx.list_certificate_ends(namespace, before, options).each(ending)


def ending_of(tx: Transaction, namespace: str, name: str, *, within: str = "") -> Page[EndingNode]:
    """The one that `list_ending` has of the node, if any, whenever it ends.

    NotFound for a node that the selector *within* does not select.
    """
    node, end = read_node(tx, namespace, name), tx.certificate_end(namespace, name)
    if not is_within(within, node.node):
        raise NotFound("node", name)
    found = [EndingNode(node, end)] if end else []
    return Page(found, len(found))


def forecast(tx: Transaction, *, now: datetime) -> Mapping[str, int]:
    """How many nodes of all namespaces have how much time left (`core.expiry.BOUNDS`)."""
    *counts, total = tx.count_certificate_ends([*bounds_from(now), None])
    return buckets(counts, total)
