"""The connection of the node agent to hubs that take other client ids."""

from pathlib import Path

from edgesync_agent.clock import Clock
from edgesync_agent.link import AgentLink
from tests.broker.authority import HubAuthority
from tests.broker.dotless import running_dotless_hub

NODE = "default.gate-7"


def test_a_hub_without_dots_in_client_ids_gets_slashes_and_qos_0(tmp_path: Path) -> None:
    authority = HubAuthority(tmp_path)
    folder = tmp_path / "identity"
    folder.mkdir()
    (folder / "ca.pem").write_bytes(authority.root_file.read_bytes())
    own = authority.issue(NODE, [NODE])
    (folder / "key.pem").write_bytes(own.read_bytes())
    with running_dotless_hub(authority.server_context()) as hub:
        identity = {"nodeId": NODE, "mqttHost": "localhost", "mqttPort": hub.port}
        link = AgentLink(tmp_path, identity, own, Clock())
        try:
            link.open(NODE)
        finally:
            link.close()
    assert hub.client_ids == [NODE, "default/gate-7"]
    assert hub.granted == [b"\x00" * 3, b"\x00"]
