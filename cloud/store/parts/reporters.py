"""The state of reporting nodes: all that taking a report depends on, in one row."""

from collections.abc import Sequence

from cloud.core.core_configuration import Mode
from cloud.core.encryption_key import EncryptionKey
from cloud.core.report import Order, Reporter
from cloud.store.parts.nodes import core_of, labels_of, properties_of
from cloud.store.parts.row_sets import Lookup, NodePlace
from cloud.store.rows import Row, heard_of, moment_or_none
from cloud.store.statements import fragment, fragment_apart, joined

_COLUMNS = fragment(
    """
    node.document, node.mode, node.core, node.properties, node.open_deploy, (
        SELECT max(certificate.expires) FROM certificate
        WHERE certificate.node_id = node.namespace || '.' || node.name
            AND certificate.revoked IS NULL
    ), report.run, report.sequence, report.running, report.usage_step, report.received,
    report.usage_received, report.report_interval, report.longest_gap, report.online_since,
    report.said_interval, ready_node.name, node_status.deploy, encryption_key.key,
    encryption_key.time
    """,
    reads={"certificate", "encryption_key", "node", "node_status", "ready_node", "report"},
)
_NODE_WITH_ALL = """
    node LEFT JOIN report ON report.namespace = node.namespace AND report.name = node.name
    LEFT JOIN ready_node
        ON ready_node.namespace = node.namespace AND ready_node.name = node.name
    LEFT JOIN node_status
        ON node_status.namespace = node.namespace AND node_status.name = node.name
    LEFT JOIN encryption_key
        ON encryption_key.namespace = node.namespace AND encryption_key.name = node.name
    WHERE node.namespace = :namespace AND node.name = """
# By the key of each row, whatever the planner knows: before its first statistics it compares each
# node with every one of the namespace, which took 4.9 ms for 64 of 1,000 nodes instead of 1.3.
_EACH_NODE_WITH_ALL = """
    LATERAL (SELECT * FROM node
        WHERE namespace = :namespace AND name = given.value {fence}) AS node
    LEFT JOIN LATERAL (SELECT * FROM report
        WHERE namespace = :namespace AND name = given.value {fence}) AS report ON TRUE
    LEFT JOIN LATERAL (SELECT * FROM ready_node
        WHERE namespace = :namespace AND name = given.value {fence}) AS ready_node ON TRUE
    LEFT JOIN LATERAL (SELECT * FROM node_status
        WHERE namespace = :namespace AND name = given.value {fence}) AS node_status ON TRUE
    LEFT JOIN LATERAL (SELECT * FROM encryption_key
        WHERE namespace = :namespace AND name = given.value {fence}) AS encryption_key ON TRUE
    """

FIND_REPORTER = joined(
    fragment("SELECT "), _COLUMNS, fragment(" FROM "), fragment(_NODE_WITH_ALL + ":name")
)
FIND_REPORTERS = joined(
    fragment("SELECT CAST({json_group_array}({json_array}(node.name, "),
    _COLUMNS,
    fragment(")) AS TEXT) FROM {elements[names]} CROSS JOIN "),
    fragment_apart(sqlite=_NODE_WITH_ALL + "given.value", postgres=_EACH_NODE_WITH_ALL),
)


def _reporter_of(place: NodePlace, rows: Sequence[Row]) -> Reporter | None:
    """The reporter of a row of `FIND_REPORTER`; `run` is null where there is no report."""
    if not rows:
        return None
    text, mode, core, properties, open_deploy, certified, run, sequence, *rest = rows[0]
    running, step, *heard, ready, deploy, key, made = rest
    return Reporter(
        labels_of(place[1], text),
        None if run is None else Order(run, sequence),
        Mode(mode),
        properties_of(properties),
        has_open_deploy=open_deploy is not None,
        core=core_of(core),
        heard=None if run is None else heard_of(heard),
        is_ready=ready is not None,
        running=running or "",
        usage_step=step or 0,
        certified=moment_or_none(certified),
        deploy=deploy or "",
        encryption=EncryptionKey(key, made) if key else None,
    )


REPORTERS = Lookup(FIND_REPORTER, FIND_REPORTERS, _reporter_of)
