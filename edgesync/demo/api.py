"""Client of the REST API for the demo, and the state of apps on nodes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgesync.cli.resources.manifests import Document
from edgesync.client import Client


@dataclass(frozen=True, slots=True)
class Row:
    """One app on one node, as the API shows it."""

    node: str
    ready: bool
    app: str
    wanted: str
    running: str
    status: str

    @property
    def is_converged(self) -> bool:
        """Return whether the node runs what it should."""
        return self.ready and self.running == self.wanted and self.status == "Running"


class DemoApi:
    """The REST API, as a script would use it."""

    def __init__(self, ready: dict[str, str]) -> None:
        token = Path(ready["admin_token_file"]).read_text(encoding="ascii").strip()
        self.url = ready["api"]
        self._client = Client(self.url, token=token)

    def close(self) -> None:
        """Close its connections."""
        self._client.close()

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Content of the answer to one call; ClientError as in `Client.call`."""
        return self._client.call(method, path, body=body)

    def put(self, resource: Document) -> None:
        """Create or replace *resource*."""
        resources = self._client.kind(resource.kind)
        if resources.find(resource.name) is None:
            resources.create(resource.name, resource.body)
        else:
            resources.put(resource.name, resource.body)

    def rows(self) -> list[Row]:
        """Every app on every node, wanted and running."""
        versions = {app.name: app.version for app in self._client.apps.list()}
        rows = []
        for node in self._client.nodes.list():
            report = self._client.nodes.stats(node.name).report
            running = {app.name: app for app in report.appstats}
            for app in self._client.nodes.apps(node.name):
                own = running.get(app.name)
                rows.append(
                    Row(
                        node.name,
                        node.ready,
                        app.name,
                        versions[app.name],
                        own.version if own else "-",
                        own.status if own else "-",
                    )
                )
        return sorted(rows, key=lambda row: (row.node, row.app))
