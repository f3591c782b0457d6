"""A mixed fleet whose MQTT nodes connect to a Mosquitto, not to the hub of the server."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from broker.client import open_client_hub
from cloud.core.app import AppSpec, Service
from cloud.core.certificate import NodeCertificate
from cloud.core.node import NodeSpec
from cloud.http.refusals import RefusalLog
from cloud.jobs.pusher import Pusher
from cloud.link.exchange import Exchange
from cloud.link.inbox import NodeInbox
from cloud.link.sync import sync_app
from cloud.operations.apps import create_app, update_app
from cloud.operations.nodes import create_node
from cloud.store.transaction import Store, Transaction
from tests.baetyl.agent import StockAgent
from tests.baetyl.links import TIMEOUT, HttpsLink, mqtt_link
from tests.broker.authority import HubAuthority
from tests.broker.mosquitto import NEEDS_MOSQUITTO, running_mosquitto
from tests.broker.node import until
from tests.builders import open_store
from tests.end_to_end.conftest import Identity
from tests.end_to_end.node import connected
from tests.serving import serving

pytestmark = NEEDS_MOSQUITTO

NATIVE, OVER_MQTT, OVER_HTTPS = "native", "over-mqtt", "over-https"


@dataclass
class BrokerPorts:
    """Where nodes connect to."""

    mqtt_port: int


def now() -> datetime:
    return datetime.now(UTC)


def describe(tx: Transaction, authority: HubAuthority) -> None:
    for name in (NATIVE, OVER_MQTT, OVER_HTTPS):
        create_node(tx, "default", name, NodeSpec(labels={"fleet": "mixed"}), now=now())
        serial, ends = authority.serials[f"default.{name}"], now() + timedelta(days=1)
        tx.put_certificate(NodeCertificate(serial, f"default.{name}", now(), ends))


def identity(authority: HubAuthority, name: str) -> Identity:
    pair = authority.issue(f"default.{name}", [f"default.{name}"])
    return Identity(name, authority.root_file, pair, pair)


def spec(image: str) -> AppSpec:
    return AppSpec(selector="fleet=mixed", services=(Service("web", image=image),))


@contextlib.asynccontextmanager
async def working(*loops: Any) -> AsyncIterator[None]:
    """Run *loops* meanwhile."""
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(loop) for loop in loops]
        try:
            yield
        finally:
            for task in running:
                task.cancel()


async def reported(store: Store) -> list[dict[str, str]]:
    """The apps that each node reports, name to version."""

    def look(tx: Transaction) -> list[dict[str, str]]:
        stored = [tx.report("default", name) for name in (NATIVE, OVER_MQTT, OVER_HTTPS)]
        apps = [(each.report.reported.apps or ()) if each else () for each in stored]
        return [{app.name: app.version for app in each} for each in apps]

    return await store.read(look)


async def test_a_mixed_fleet_converges_over_a_broker_that_stands_by_itself(tmp_path: Path) -> None:
    (tmp_path / "authority").mkdir()
    (tmp_path / "mosquitto").mkdir()
    authority = HubAuthority(tmp_path / "authority")
    native, over_mqtt, over_https = (
        identity(authority, name) for name in (NATIVE, OVER_MQTT, OVER_HTTPS)
    )
    async with (
        open_store(tmp_path) as store,
        running_mosquitto(tmp_path / "mosquitto", authority) as mosquitto,
        open_client_hub(mosquitto.broker("server-1")) as hub,
    ):
        await store.write(lambda tx: describe(tx, authority))
        await until(lambda: hub.is_attached)
        exchange = Exchange(store, now)
        app = sync_app(exchange, new_id=lambda: "id", refusals=RefusalLog(store, lambda: 0.0))
        ports: Any = BrokerPorts(mosquitto.port)
        context = over_https.context()
        async with (
            working(NodeInbox(hub, exchange).run(), Pusher(hub, store, now).run()),
            serving(app, authority.server_context()) as url,
        ):
            with (
                httpx.Client(base_url=url, verify=context, timeout=TIMEOUT) as client,
                connected(ports, native) as node,
                mqtt_link(ports, over_mqtt) as link,
            ):
                links = (link, HttpsLink(client, "baetyl-core"))
                agents = [(StockAgent(each), each) for each in links]
                held: dict[str, Any] = {"apps": []}

                def turn() -> None:
                    for agent, each in agents:
                        each.sync(agent)
                        agent.tick()
                    if wanted := node.report(**held)["content"]:
                        for one in wanted["apps"]:
                            body = node.fetch(("application", one["name"]))["content"]
                            assert body["values"][0]["version"] == one["version"]
                        held.update(wanted)

                async def all_run(version: str) -> None:
                    async with asyncio.timeout(TIMEOUT):
                        while await reported(store) != [{"web": version}] * 3:
                            await asyncio.to_thread(turn)

                first = await store.write(
                    lambda tx: create_app(tx, "default", "web", spec("nginx:1"), now=now())
                )
                await all_run(first.version)
                second = await store.write(
                    lambda tx: update_app(tx, "default", "web", spec("nginx:2"), now=now())
                )
                assert second.version != first.version
                await all_run(second.version)
