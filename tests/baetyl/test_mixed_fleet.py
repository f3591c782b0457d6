"""Native nodes and stock agents side by side, on one update."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.baetyl.agent import StockAgent
from tests.baetyl.conftest import AgentCloud
from tests.baetyl.links import https_link, mqtt_link
from tests.end_to_end.conftest import make_batch, wait_for
from tests.preloaded import ForkedProcess


@contextmanager
def native_node(
    cloud: AgentCloud, batch: dict[str, Any], name: str, folder: Path
) -> Iterator[None]:
    """A simulated native node meanwhile."""
    server = cloud.server
    command = ["sim", "--batch", batch["name"], "--quiet"]
    command += ["--activation", server.activation, "--mqtt", f"localhost:{server.mqtt_port}"]
    command += ["--ca", server.ca, "--fingerprint", name, "--state-dir", str(folder)]
    command += ["--interval", "1", "--stats-interval", "0", "--apply-delay", "0"]
    environment = {**os.environ, "EDGESYNC_SIM_TOKEN": batch["securityKey"]}
    process = ForkedProcess(command, folder.with_suffix(".log"), environment=environment)
    try:
        yield
    finally:
        process.terminate()
        process.wait(timeout=60)


def test_a_mixed_fleet_converges_on_one_update(cloud: AgentCloud, tmp_path: Path) -> None:
    batch = make_batch(cloud.api, cloud.name("mixed"))
    over_mqtt, over_https, native = cloud.node_of(batch), cloud.node_of(batch), cloud.name("native")
    app = cloud.app(name := cloud.name("web"), f"baetyl-batch={batch['name']}")

    def converged(version: str) -> bool:
        shown = [
            cloud.call("GET", f"/v1/nodes/{node}/stats")["report"]["apps"]
            for node in (over_mqtt.name, over_https.name, native)
        ]
        return shown == [[{"name": name, "version": version}]] * 3

    with (
        native_node(cloud, batch, native, tmp_path),
        mqtt_link(cloud.server, over_mqtt) as mqtt,
        https_link(cloud.server, over_https) as https,
    ):
        agents = (StockAgent(mqtt), mqtt), (StockAgent(https), https)

        def everybody_is_at(version: str) -> bool:
            for agent, link in agents:
                link.sync(agent)
                agent.tick()
            return converged(version)

        nodes = cloud.api.get
        wait_for(lambda: nodes(f"/v1/nodes/{native}").status_code == 200, "the native node")
        wait_for(lambda: everybody_is_at(app["version"]), "all to run the app")
        update = cloud.call("GET", f"/v1/apps/{name}")
        update["services"][0]["image"] = "nginx:2"
        newer = cloud.call("PUT", f"/v1/apps/{name}", update)["version"]
        assert newer != app["version"]
        wait_for(lambda: everybody_is_at(newer), "all to run the update")
    assert [agent.applied for agent, _ in agents] == [[(name, app["version"]), (name, newer)]] * 2
