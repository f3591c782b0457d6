"""What lines of a list show of nodes beside the nodes themselves: read for a page at once."""

from collections.abc import Mapping, Sequence

from cloud.core.node_summary import NodeFigures
from cloud.core.running import RunningApp
from cloud.store.parts.part import TransactionPart
from cloud.store.rows import Parameters, Row, json_rows, json_text
from cloud.store.statements import statement

# Of a report only the machine: what else is in it may be long.
FIGURES_OF_NODES = statement(
    """
    SELECT CAST({json_group_array}({json_array}(node_status.name, node_status.deploy,
        node_status.agent, node_status.cpu, node_status.memory, node_status.cpu_part,
        node_status.memory_part, report.document{json} -> 'node')) AS TEXT)
    FROM {elements[names]} CROSS JOIN node_status
    LEFT JOIN report
        ON report.namespace = node_status.namespace AND report.name = node_status.name
    WHERE node_status.namespace = :namespace AND node_status.name = given.value
    """,
    reads={"node_status", "report"},
)
APPS_OF_NODES = statement(
    """
    SELECT CAST({json_group_array}({json_array}(reported_app.name, reported_app.app,
        reported_app.version, reported_app.state)) AS TEXT)
    FROM {elements[names]} CROSS JOIN reported_app
    WHERE reported_app.namespace = :namespace AND reported_app.name = given.value
    """,
    reads={"reported_app"},
)


class NodeFiguresPart(TransactionPart):
    """Figures of nodes, by the names of a page."""

    def node_figures(self, namespace: str, names: Sequence[str]) -> Mapping[str, NodeFigures]:
        """Those of the nodes that are there, by name."""
        where: Parameters = {"namespace": namespace, "names": json_text(names)}
        return {
            name: _figures_of(row) for name, *row in json_rows(self._run(FIGURES_OF_NODES, where))
        }

    def running_apps_of(
        self, namespace: str, names: Sequence[str]
    ) -> Mapping[str, Sequence[RunningApp]]:
        """As `running_apps`, of each of those nodes, without causes."""
        where: Parameters = {"namespace": namespace, "names": json_text(names)}
        found: dict[str, list[RunningApp]] = {name: [] for name in names}
        for name, *app in json_rows(self._run(APPS_OF_NODES, where)):
            found[name].append(RunningApp(*app))
        return found


def _figures_of(row: Row) -> NodeFigures:
    deploy, agent, cpu, memory, cpu_part, memory_part, host = row
    machine = host if isinstance(host, dict) else {}
    return NodeFigures(deploy, agent, cpu, memory, cpu_part, memory_part, machine)
