"""The promise of docs/upgrading.md, against the previous version: its processes, its files."""

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from cloud.core.deprecated_settings import DEPRECATED_SETTINGS
from cloud.core.versions import is_older_agent
from cloud.link.installer import agent_program
from cloud.store.migrations import STEPS
from edgesync import version
from tests.baetyl.agent import StockAgent
from tests.baetyl.links import https_link
from tests.broker.mosquitto import NEEDS_MOSQUITTO
from tests.deadlines import UNIT
from tests.end_to_end.conftest import (
    Identity,
    Server,
    activate,
    count_running,
    kv,
    make_app,
    make_batch,
    running_server,
    wait_for,
)
from tests.end_to_end.sim import simulated as simulated_nodes
from tests.end_to_end.test_host_apps import describe
from tests.end_to_end.test_install_command import InstalledMachine, command_for, installed
from tests.end_to_end.test_servers import (
    NodeMaker,
    ServerFleet,
    Talker,
    hostname,
    put_image,
    server_fleet,
    simulated,
)
from tests.ports import free_port
from tests.postgres import NEEDS_POSTGRES, Postgres
from tests.preloaded import run_edgesync
from tests.previous_version import ROOT, PreviousVersion, python_in, unpack_previous_version

pytestmark = [*NEEDS_MOSQUITTO, *NEEDS_POSTGRES, pytest.mark.timeout(360)]

NODES = 4
PAUSE = 0.1
"""Seconds between two requests of the load."""


@pytest.fixture(scope="module")
def previous(tmp_path_factory: pytest.TempPathFactory) -> PreviousVersion:
    return unpack_previous_version(tmp_path_factory.mktemp("previous"))


def test_released_migrations_stay_as_they_were(previous: PreviousVersion) -> None:
    code = "import json; from cloud.store.migrations import STEPS; from dataclasses import astuple;"
    code += "print(json.dumps([(name, [astuple(one) for one in made]) for name, made in STEPS]))"
    released = json.loads(previous.python(code))
    now = [[name, [[one.sqlite, one.postgres] for one in made]] for name, made in STEPS]
    assert now[: len(released)] == released


def test_names_of_the_previous_version_are_there_or_deprecated(previous: PreviousVersion) -> None:
    """Settings, kinds, events, commands with their options, routes with their parameters."""
    code = (ROOT / "tests" / "published_names.py").read_text()
    before, now = (set(python_in(tree, code).splitlines()) for tree in (previous.tree, ROOT))
    assert len(before) > 500
    deprecated = {f"setting {one.old}" for one in DEPRECATED_SETTINGS}
    flags = {f"command edgesync serve --{one.old.replace('_', '-')}" for one in DEPRECATED_SETTINGS}
    assert before - now - deprecated - flags == set()


def test_the_agent_of_the_previous_version_is_not_too_old(previous: PreviousVersion) -> None:
    agent = previous.python("import edgesync_agent; print(edgesync_agent.VERSION)").strip()
    assert agent.startswith("edgesync-agent ")
    assert not is_older_agent(agent)


def check_upgrade(fleet: ServerFleet, *servers: str) -> None:
    """The check finds nothing that prevents an upgrade; what it shows of *servers*."""
    place = ("--data-dir", str(fleet.folder / "one"))
    shown = edgesync("upgrade", "check", *place, database=fleet.url).splitlines()
    found = {" ".join(line.split()) for line in shown}
    for start in servers:
        assert any(line.startswith(start) for line in found), shown


def shown_server(previous: PreviousVersion, name: str) -> str:
    """How the check begins about a server of the previous version, which may record none."""
    steps = previous.python("from cloud.store.migrations import STEPS; print(*dict(STEPS))")
    if "server_versions" in steps:
        return f"ok server {name} {previous.version}"
    return f"warning server {name} its version"


def test_servers_are_upgraded_one_at_a_time_under_load(
    previous: PreviousVersion, tmp_path: Path, postgres: Postgres
) -> None:
    with server_fleet(tmp_path, postgres, previous.tree) as fleet, ExitStack() as stack:
        old = [stack.enter_context(fleet.server(name, previous.tree)) for name in ("one", "two")]
        apis = [stack.enter_context(server.client()) for server in old]
        assert apis[0].get("/version").json() == {"version": previous.version}
        batch = make_batch(apis[0], labels={"site": "a"})
        identity = activate(old[0], make_batch(apis[0], "b2"), "n1")
        first = make_app(apis[1], selector="site=a")["version"]
        stack.enter_context(simulated(old[0], fleet, batch, count=NODES, tree=previous.tree))
        wait_for(lambda: count_running(apis[1], "web", first) == NODES, "all nodes", units=60)
        acknowledged: list[str] = []

        def change_through(api: httpx.Client, image: str, seen_by: httpx.Client) -> None:
            """An update under load reaches all nodes."""
            with NodeMaker(api, f"w-{len(acknowledged)}", pause=PAUSE) as writer:
                changed = put_image(api, image)
                wait_for(lambda: count_running(seen_by, "web", changed) == NODES, image, units=60)
                wait_for(lambda: len(writer.acknowledged) >= 5, "load")
            acknowledged.extend(writer.acknowledged)

        with Talker(old[0], identity, pause=PAUSE) as talker:
            with NodeMaker(apis[1], "meanwhile", pause=PAUSE) as writer:
                wait_for(lambda: talker.answered >= 5 and writer.acknowledged, "load", units=60)
                check_upgrade(fleet, *(shown_server(previous, name) for name in ("one", "two")))
                assert old[0].stop() == 0
                one = stack.enter_context(fleet.server("one"))
                new = stack.enter_context(one.client())
                before = talker.answered
                wait_for(lambda: talker.answered > before + 5, "answers", units=60)
            acknowledged.extend(writer.acknowledged)
            for creator, changer in ((apis[1], new), (new, apis[1])):
                labels_agree(creator, changer)
            change_through(apis[1], "nginx:2", seen_by=new)
            change_through(new, "nginx:3", seen_by=apis[1])
            assert old[1].stop() == 0
            two = stack.enter_context(fleet.server("two"))
            last = stack.enter_context(two.client())
            change_through(last, "nginx:4", seen_by=new)
        assert int(hostname(last)) >= talker.answered
        names = {one["name"] for one in new.get("/v1/nodes").json()["items"]}
        assert set(acknowledged) <= names
        check_upgrade(fleet, "ok schema no migration", f"ok server two {version()}")
        verify_log(one.data_dir, fleet.url)
        refuses_database(previous, old[1].data_dir, fleet)


def verify_log(data: Path, database: str = "") -> None:
    """The audit log is whole, with entries of both versions."""
    shown = edgesync("audit", "verify", "--data-dir", str(data), database=database)
    assert "entries verified" in shown


def labels_agree(creator: httpx.Client, changer: httpx.Client) -> None:
    """A node that one server creates, and the other labels anew, is found by its labels."""
    name = f"of-{creator.base_url.port}"
    for method, writer, path, color in (
        ("POST", creator, "", "red"),
        ("PUT", changer, f"/{name}", "green"),
    ):
        body = {"name": name, "labels": {"color": color, "shelf": name}}
        assert writer.request(method, f"/v1/nodes{path}", json=body).is_success
        query = {
            "selector": f"color={color},shelf={name}",
            "fieldSelector": "status.state=never",
        }
        for reader in (creator, changer):
            found = reader.get("/v1/nodes", params=query).json()["items"]
            assert [node["name"] for node in found] == [name], (method, reader.base_url)


def refuses_database(
    previous: PreviousVersion, data: Path, fleet: ServerFleet | None = None
) -> None:
    """The previous version does not start on a database that this one has migrated."""
    steps = previous.python("from cloud.store.migrations import STEPS; print(len(STEPS))")
    if int(steps) == len(STEPS):
        return  # nothing was migrated
    command = ["serve", "--data-dir", str(data)]
    if fleet:
        command += ["--broker", fleet.broker, "--broker-for-nodes", fleet.broker]
        command += ["--database", fleet.url, "--server-id", "third"]
    refused = run_edgesync(*command, timeout=60 * UNIT, tree=previous.tree)
    assert refused.returncode == 1
    assert "newer version" in refused.stderr


def edgesync(
    *arguments: str, database: str = "", tree: Path | None = None, **variables: str
) -> str:
    """What a command of this version prints, or of that in *tree*."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("EDGESYNC_")}
    environment |= variables
    if database:
        environment["EDGESYNC_DATABASE"] = database
    done = run_edgesync(*arguments, environment=environment, timeout=60 * UNIT, tree=tree)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def of_page(command: str, folder: Path, others: Mapping[str, Path] = {}) -> list[str]:
    """The arguments of `edgesync` in the first *command* on the page, with files in *folder*."""
    page = (ROOT / "docs" / "upgrading.md").read_text()
    found = re.search(rf"^\S*edgesync ({command} .*)$", page, flags=re.M)
    assert found, command
    places = {name: folder / name for name in ("before-upgrade", "backup.passphrase")}
    places["/etc/edgesync/edgesync.toml"] = folder / "data" / "settings.toml"
    return [str({**places, **others}.get(word, word)) for word in found[1].split()]


@contextmanager
def machine_in(folder: Path) -> Iterator[InstalledMachine]:
    """A machine; its agent is removed at the end."""
    machine = InstalledMachine(folder)
    try:
        yield machine
    finally:
        if (machine.state / "agent.pyz").exists():
            machine.agent("uninstall")


def replace_agent(machine: InstalledMachine, program: bytes) -> None:
    """Have *program* run in the place of the agent that is installed."""
    installed(machine.agent("stop"))
    path = machine.state / "agent.pyz"
    path.write_bytes(program)
    installed(machine.run(f"nohup python3 {path} run >> {machine.state}/log 2>&1 &"))


@dataclass
class MixedFleet:
    """Nodes of both versions, and a stock agent on the HTTPS link, which has an *identity*."""

    names: list[str]
    identity: Identity
    stock: StockAgent | None = None

    def converge(self, server: Server, api: httpx.Client) -> str:
        """Wait until all nodes report the app's version, and return it."""
        desired: str = api.get("/v1/apps/talker").json()["version"]
        wanted = [{"name": "talker", "version": desired}]
        with https_link(server, self.identity) as link:
            stock = self.stock = self.stock or StockAgent(link)
            stock.link = link

            for name in self.names:
                wait_for(lambda name=name: reported(api, name) == wanted, name, units=60)  # type: ignore[misc]

            def stock_reports() -> bool:
                link.sync(stock)
                stock.tick()
                return bool(reported(api, self.identity.name) == wanted)

            wait_for(stock_reports, "the stock agent")
        return desired


def reported(api: httpx.Client, node: str) -> Any:
    return (api.get(f"/v1/nodes/{node}/stats").json().get("report") or {}).get("apps")


def greet(api: httpx.Client, greeting: str) -> None:
    """A new version of the app."""
    answer = api.put("/v1/configs/greetings", json={"data": [kv("greeting", greeting)]})
    assert answer.status_code == 200, answer.text


def use_commands(server: Server, tree: Path | None = None) -> None:
    """Read and change what a server has with the command line of the other version."""
    variables = {"EDGESYNC_URL": server.api, "EDGESYNC_TOKEN": server.token}
    for words, expected in (
        ("get nodes -o wide", "gate"),
        ("get all", "talker"),
        ("describe node gate", "talker"),
        ("explain node gate", "talker"),
        ("top nodes", "gate"),
        ("export", "kind: App"),
        ("label node gate seen=yes", "gate"),
        ("events", "gate"),
    ):
        assert expected in edgesync(*words.split(), tree=tree, **variables), words


def joined(
    stack: ExitStack, server: Server, api: httpx.Client, folder: Path, previous: PreviousVersion
) -> MixedFleet:
    """A fleet whose nodes run until *stack* is closed; they find later servers by their ports."""
    describe(api)
    api.post("/v1/nodes", json={"name": "newer", "labels": {"role": "gateway"}})
    batch = make_batch(api, labels={"role": "gateway"})
    server.ca = str(shutil.copy(server.ca, folder / "root.pem"))
    for name, tree in (("old-1", previous.tree), ("new-1", None)):
        options = ("--fingerprint", name, "--stats-interval", "0")
        stack.enter_context(
            simulated_nodes(server, batch, folder / name, 1, *options, interval=1, tree=tree)
        )
    machines = [stack.enter_context(machine_in(folder / name)) for name in ("gate", "newer")]
    for machine, name in zip(machines, ("gate", "newer"), strict=True):
        installed(machine.run(command_for(api, f"nodes/{name}")))
    replace_agent(machines[1], agent_program())
    identity = activate(server, batch, "stock")
    return MixedFleet(["old-1", "new-1", "gate", "newer"], identity)


def test_nodes_commands_and_backups_of_one_version_work_with_the_other(
    previous: PreviousVersion, tmp_path: Path
) -> None:
    """A server is upgraded, and rolled back with the backup that was made before."""
    data, again, back = (tmp_path / name for name in ("data", "again", "back"))
    (tmp_path / "backup.passphrase").touch(mode=0o600)
    (tmp_path / "backup.passphrase").write_text("a passphrase of some length\n")
    names = ("api", "activation", "mqtt", "sync")
    ports = [part for name in names for part in (f"--{name}-port", str(free_port()))]
    with ExitStack() as stack:
        with running_server(data, *ports, tree=previous.tree) as old, old.client() as api:
            assert api.get("/version").json() == {"version": previous.version}
            fleet = joined(stack, old, api, tmp_path, previous)
            first = fleet.converge(old, api)
            use_commands(old)
            check = of_page("upgrade check", tmp_path, {"/var/lib/edgesync": data})
            assert f"{previous.version} -> {version()}" in edgesync(*check)
            backup = [*of_page("backup", tmp_path), "--data-dir", str(data)]
            edgesync(*backup, tree=previous.tree)
            assert old.stop() == 0

        with running_server(data, *ports) as new, new.client() as api:
            assert api.get("/version").json() == {"version": version()}
            greet(api, "after the upgrade")
            assert fleet.converge(new, api) != first
            use_commands(new, previous.tree)
            assert new.stop() == 0
        refuses_database(previous, data)

        assert " is intact: " in edgesync(*of_page("verify", tmp_path))
        edgesync(*of_page("restore", tmp_path, {"elsewhere": again}))
        verify_log(again)

        edgesync(*of_page("restore", tmp_path, {"elsewhere": back}), tree=previous.tree)
        ports += ["--config", str(back / "settings.toml")]
        with running_server(back, *ports, tree=previous.tree) as old, old.client() as api:
            assert fleet.converge(old, api) == first
