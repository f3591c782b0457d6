"""Client of the REST API for the demo, and the state of apps on nodes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import httpx

from edgesync.cli.resources.manifests import Document


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
        self._client = httpx.Client(
            base_url=self.url, headers={"Authorization": f"Bearer {token}"}, timeout=30
        )

    def close(self) -> None:
        """Close its connections."""
        self._client.close()

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Answer of one call; ClickException with the server's own words if it refuses."""
        answer = self._client.request(method, path, json=body)
        if answer.is_success:
            return answer.json()
        raise click.ClickException(f"{method} {path}: {answer.json().get('message', answer.text)}")

    def put(self, resource: Document) -> None:
        """Create or replace *resource*."""
        names = [item["name"] for item in self.call("GET", resource.kind.path)["items"]]
        if resource.name in names:
            self.call("PUT", resource.url, resource.body)
        else:
            self.call("POST", resource.kind.path, resource.body)

    def rows(self) -> list[Row]:
        """Every app on every node, wanted and running."""
        versions = {app["name"]: app["version"] for app in self.call("GET", "/v1/apps")["items"]}
        rows = []
        for node in self.call("GET", "/v1/nodes")["items"]:
            wanted = [
                app["name"] for app in self.call("GET", f"/v1/nodes/{node['name']}/apps")["items"]
            ]
            stats = self.call("GET", f"/v1/nodes/{node['name']}/stats")
            running = {app["name"]: app for app in stats.get("report", {}).get("appstats") or ()}
            for name in wanted:
                app = running.get(name, {})
                rows.append(
                    Row(
                        node["name"],
                        node["ready"],
                        name,
                        versions[name],
                        app.get("version", "-"),
                        app.get("status", "-"),
                    )
                )
        return sorted(rows, key=lambda row: (row.node, row.app))
