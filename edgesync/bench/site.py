"""Sites for `edgesync bench`: servers, a broker and a database as processes of their own.

All of it listens on loopback, on free ports, and ends with the block it was opened in.
"""

import contextlib
import importlib.util
import json
import os
import secrets
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import httpx
import psutil

from broker.ports import free_port
from edgesync.bench.seeding import seed

PATIENCE_SECONDS = 60.0
"""For any process to be ready."""

NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For `verify` of httpx: by default it reads all certificates that this machine trusts, which takes
30 ms of CPU for each client; the API of a bench has no TLS."""

_PORTS = ("api", "activation", "mqtt", "sync")
_KEYS = ("secrets.key", "audit.key", "admin.token")


@dataclass(frozen=True, slots=True)
class Layout:
    """The layout of a site."""

    broker: str = "embedded"
    database: str = "sqlite"
    servers: int = 1
    brokers: int = 1
    """Mosquittos that do not know of each other; nodes are spread evenly."""

    def __str__(self) -> str:
        broker = {
            "embedded": "embedded hub",
            "managed": "managed Mosquitto",
            "mosquitto": "Mosquitto",
        }[self.broker]
        broker += f" on {self.brokers} processes" if self.brokers > 1 else ""
        database = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}[self.database]
        return f"{broker}, {database}, {self.servers} server{'s' if self.servers > 1 else ''}"

    @property
    def what_nodes_connect_to(self) -> str:
        """The program that has the connections."""
        return "the server" if self.broker == "embedded" else "each Mosquitto"

    def missing(self, path: str) -> str:
        """The missing requirements, programs on *path* among them; empty if there are none."""
        if self.broker != "embedded" and mosquitto_program(path) is None:
            return "mosquitto"
        if self.database == "postgresql":
            if postgres_programs(path) is None:
                return "PostgreSQL"
            if importlib.util.find_spec("psycopg") is None:
                return "edgesync[postgres]"
        return ""


def search_path() -> str:
    """Where programs are looked for: also where Debian keeps servers, off the path of users."""
    clusters = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return os.pathsep.join(
        (os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", *map(str, clusters))
    )


def mosquitto_program(path: str) -> str | None:
    """Where Mosquitto is, if it is installed."""
    return shutil.which("mosquitto", path=path)


def postgres_programs(path: str) -> Path | None:
    """Directory of initdb and postgres, if they are installed."""
    found = shutil.which("initdb", path=path)
    return Path(found).resolve().parent if found is not None else None


@dataclass(slots=True)
class BenchServer:
    """One `edgesync serve`; `ready` is its ready file, there once it was waited for."""

    data: Path
    options: Sequence[str]
    environment: Mapping[str, str]
    process: "subprocess.Popen[bytes]"
    ready: dict[str, str] = field(default_factory=dict)

    @property
    def cpu_seconds(self) -> float:
        """CPU time it has used so far."""
        return cpu_seconds(self.process.pid)

    @property
    def memory_bytes(self) -> int:
        """Its resident memory."""
        return memory_bytes(self.process.pid)

    def wait_until_ready(self) -> None:
        """Until it answers that it is, broker and all; ClickException with its last words."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self._is_ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                log = (self.data / "server.log").read_text(errors="replace")
                raise click.ClickException(f"the server did not start:\n{log[-2000:]}")
            time.sleep(0.02)

    def kill(self) -> None:
        """As a crash would: SIGKILL."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """End it politely, then not."""
        _end(self.process)

    def restarted(self) -> "BenchServer":
        """The same again, on the same ports."""
        ports = [
            f"--{name}-port={self.ready[name].rsplit(':', 1)[1]}"
            for name in _PORTS
            if not (name == "mqtt" and "--broker-for-nodes" in self.options)
        ]
        return start_server(self.data, *self.options, *ports, environment=self.environment)

    def _is_ready(self) -> bool:
        file = self.data / "ready.json"
        if not file.exists():
            return False
        self.ready = json.loads(file.read_text())
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(f"{self.ready['api']}/readyz", verify=NO_TLS).is_success
        return False


def start_server(
    data: Path, *options: str, environment: Mapping[str, str] | None = None
) -> BenchServer:
    """Start a server that has *data*, without limits on requests; it is not ready yet."""
    data.mkdir(parents=True, exist_ok=True)
    ready = data / "ready.json"
    ready.unlink(missing_ok=True)
    arguments = [f"--{name}-port=0" for name in _PORTS]
    arguments += ["--requests-per-second=0", "--denials-per-minute=0", "--log-level=warning"]
    arguments += ["--node-messages-per-second=0", "--node-bytes-per-second=0"]
    arguments += [f"--data-dir={data}", f"--ready-file={ready}", *options]
    own = {name: value for name, value in os.environ.items() if not name.startswith("EDGESYNC_")}
    with (data / "server.log").open("ab") as log:
        process = subprocess.Popen(  # noqa: S603  # ourselves
            [sys.executable, "-m", "edgesync", "serve", *arguments],
            env={**own, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    return BenchServer(data, options, environment or {}, process)


@dataclass(slots=True)
class PostgresProcess:
    """A cluster with two empty databases: one for the servers, one to measure the store alone."""

    url: str
    alone_url: str


class BenchBroker:
    """A Mosquitto of its own in *directory*, with two ports, of those of a site."""

    def __init__(self, directory: Path, number: int) -> None:
        self.directory = directory / f"mosquitto-{number}"
        self.node_port, self.server_port = free_port(), free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def configure(self, data: Path, connections: int) -> None:
        """Write its files, with the authority in *data*."""
        command = [sys.executable, "-m", "edgesync", "broker", "config", "mosquitto"]
        command += ["--data-dir", str(data), "--out", str(self.directory)]
        command += ["--node-address", "127.0.0.1", "--node-port", str(self.node_port)]
        command += ["--server-port", str(self.server_port)]
        command += ["--max-connections", str(connections)]
        command += ["--user", "root"] if os.geteuid() == 0 else []
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)  # noqa: S603

    def start(self) -> None:
        """Start it, and wait until it listens; ClickException with its last words."""
        program = mosquitto_program(search_path())
        if program is None:
            raise click.ClickException("mosquitto is not installed")
        log = self.directory / "mosquitto.log"
        with log.open("ab") as output:
            self.process = subprocess.Popen(  # noqa: S603
                [program, "-c", str(self.directory / "mosquitto.conf")],
                stdout=output,
                stderr=output,
            )
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not all(_listens(port) for port in (self.node_port, self.server_port)):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise click.ClickException(f"Mosquitto did not start:\n{log.read_text()[-2000:]}")
            time.sleep(0.02)

    def kill(self) -> None:
        """As a crash would: SIGKILL."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def stop(self) -> None:
        """End it politely, then not."""
        if self.process is not None:
            _end(self.process)


class BenchSite:
    """Owns the processes of one layout; made by `open_site`."""

    def __init__(
        self, layout: Layout, directory: Path, nodes: int, *, seeded: bool = False
    ) -> None:
        self.layout = layout
        self.directory = directory
        self.servers: list[BenchServer] = []
        self.database = PostgresProcess("", "")
        self._nodes = nodes
        self._seeded = seeded
        own = range(layout.brokers if layout.broker == "mosquitto" else 0)
        self._brokers = [BenchBroker(directory, number) for number in own]

    @property
    def node_ports(self) -> Sequence[int]:
        """Where nodes connect, in turns."""
        if self._brokers:
            return [broker.node_port for broker in self._brokers]
        return [int(self.servers[0].ready["mqtt"].rsplit(":", 1)[1])]

    @property
    def nodes_directory(self) -> Path:
        """Keys and certificates of nodes."""
        return self.directory / "nodes"

    @property
    def memory_bytes(self) -> dict[str, int]:
        """Resident memory of the servers, and of the broker if there is one."""
        found = {"server": sum(server.memory_bytes for server in self.servers)}
        if self._broker_pids:
            found["broker"] = sum(map(memory_bytes, self._broker_pids))
        return found

    @property
    def cpu_seconds(self) -> float:
        """CPU time of servers and broker so far; the database's is not in it."""
        broker = sum(map(cpu_seconds, self._broker_pids))
        return broker + sum(server.cpu_seconds for server in self.servers)

    @property
    def _broker_pids(self) -> Sequence[int]:
        if self._brokers:
            return [broker.process.pid for broker in self._brokers if broker.process is not None]
        children = [psutil.Process(server.process.pid).children() for server in self.servers]
        return [child.pid for of_server in children for child in of_server]

    def start(self, stack: contextlib.ExitStack) -> None:
        """Start everything, the first server first: it makes the keys that all have."""
        stack.callback(self._stop)
        if self.layout.database == "postgresql":
            self.database = stack.enter_context(running_postgres(self.directory / "postgresql"))
        for broker in self._brokers:
            broker.configure(self.directory / "server-0", self._nodes + 1000)
            broker.start()
        if self._seeded:
            data = self.directory / "server-0"
            seed(data, self.database.url, self._nodes, self.nodes_directory)
        for number in range(self.layout.servers):
            data = self.directory / f"server-{number}"
            if number:
                self._copy_keys(data)
            self.servers.append(start_server(data, *self._options(number), **self._environment()))
            self.servers[-1].wait_until_ready()

    def kill_and_restart(self) -> float:
        """Kill servers and broker, start them again; seconds from the kill until all are ready."""
        began = time.monotonic()
        for server in self.servers:
            server.process.kill()
        for broker in self._brokers:
            broker.kill()
        for broker in self._brokers:
            broker.start()
        for server in self.servers:
            server.process.wait()
        self.servers = [server.restarted() for server in self.servers]
        for server in self.servers:
            server.wait_until_ready()
        return time.monotonic() - began

    def _stop(self) -> None:
        for server in self.servers:
            server.stop()
        for broker in self._brokers:
            broker.stop()

    def _options(self, number: int) -> list[str]:
        options = [f"--max-connections={self._nodes + 1000}"]
        if self.layout.broker == "mosquitto":
            for_servers = [f"mqtts://localhost:{broker.server_port}" for broker in self._brokers]
            options += ["--broker", ",".join(for_servers)]
            options += ["--broker-for-nodes", f"mqtts://localhost:{self._brokers[0].node_port}"]
            options += ["--server-id", f"server-{number}"]
            options += ["--crl-file", str(self._brokers[0].directory / "crl.pem")]
        elif self.layout.broker == "managed":
            options += ["--broker", "managed"]
        return options

    def _environment(self) -> dict[str, Any]:
        url = self.database.url
        return {"environment": {"EDGESYNC_DATABASE": url} if url else {}}

    def _copy_keys(self, data: Path) -> None:
        data.mkdir()
        for name in _KEYS:
            shutil.copy(self.directory / "server-0" / name, data / name)
        shutil.copytree(self.directory / "server-0" / "ca", data / "ca")


@contextlib.contextmanager
def open_site(
    layout: Layout, directory: Path, nodes: int, *, seeded: bool = False
) -> Iterator[BenchSite]:
    """Everything *layout* names, in *directory*, for so many nodes.

    Where *seeded* they are in the database, and what they connect with in `nodes_directory`.
    """
    with contextlib.ExitStack() as stack:
        site = BenchSite(layout, directory, nodes, seeded=seeded)
        site.start(stack)
        yield site


@contextlib.contextmanager
def running_postgres(directory: Path) -> Iterator[PostgresProcess]:
    """A cluster of PostgreSQL with a password, and what it commits on disk."""
    programs, port = postgres_programs(search_path()), free_port()
    if programs is None:
        raise click.ClickException("PostgreSQL is not installed")
    # It refuses to be root, and its owner has to get to the directory.
    owner = "postgres" if os.geteuid() == 0 else None
    directory.mkdir()
    password = secrets.token_hex(16)
    (directory / "password").write_text(password)
    if owner is not None:
        directory.parent.chmod(0o711)
        for path in (directory, directory / "password"):
            shutil.chown(path, owner)
    initdb = [
        *(str(programs / "initdb"), "-D", str(directory / "data"), "-U", "edgesync", "--no-sync"),
        *("--auth=scram-sha-256", f"--pwfile={directory / 'password'}"),
        *("--encoding=UTF8", "--locale=C.UTF-8"),
    ]
    postgres = [
        *(str(programs / "postgres"), "-D", str(directory / "data"), "-p", str(port)),
        *("-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="),
    ]
    with (directory / "log").open("ab") as log:
        run: dict[str, Any] = {"cwd": directory, "user": owner, "stdout": log, "stderr": log}
        subprocess.run(initdb, check=True, **run)  # noqa: S603
        process = subprocess.Popen(postgres, **run)  # noqa: S603
    try:
        url = f"postgresql://edgesync:{password}@127.0.0.1:{port}"
        _make_database(f"{url}/postgres", "servers")
        yield PostgresProcess(f"{url}/servers", f"{url}/postgres")
    finally:
        _end(process)


def _make_database(url: str, name: str) -> None:
    import psycopg
    from psycopg import sql

    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            with psycopg.connect(url, autocommit=True, connect_timeout=5) as connection:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        except psycopg.OperationalError as error:
            if time.monotonic() > deadline:
                raise click.ClickException(f"PostgreSQL did not start: {error}") from error
            time.sleep(0.05)
        else:
            return


def cpu_seconds(pid: int) -> float:
    """CPU time of a process so far."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def memory_bytes(pid: int) -> int:
    """Resident memory of a process."""
    return int(psutil.Process(pid).memory_info().rss)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
