"""A real PostgreSQL of the tests' own: one cluster for a run, a schema for each that asks."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg
import pytest

from tests.ports import free_port
from tests.schemas import SchemaPool

USER = "edgesync"

ROOM = 8 * 2**30
"""Bytes that have to be free: a run of all tests makes some thousand schemas, of 2 MB each."""


def _programs() -> Path | None:
    """The directory of initdb and postgres; Debian keeps it off the path."""
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).resolve().parent
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return installed[-1].parent if installed else None


NEEDS_POSTGRES = [
    pytest.mark.postgres,
    pytest.mark.skipif(
        _programs() is None and "CI" not in os.environ, reason="PostgreSQL is not installed"
    ),
]


@dataclass(slots=True)
class Postgres:
    """One cluster on a free port."""

    directory: Path
    port: int
    process: "subprocess.Popen[bytes] | None" = None
    _schemas: SchemaPool | None = None

    def url(self, database: str) -> str:
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{database}"

    @property
    def schemas(self) -> SchemaPool:
        """Those of its database."""
        if self._schemas is None:
            self._schemas = SchemaPool(self.url("postgres"))
        return self._schemas

    def schema_of(self, directory: Path) -> str:
        """URL of an empty schema for *directory* alone."""
        return self.schemas.schema_of(directory)

    def start(self) -> None:
        programs = _programs()
        assert programs is not None, "PostgreSQL is not installed"
        self.process = subprocess.Popen(
            [
                programs / "postgres", "-D", self.directory / "data", "-p", str(self.port),
                "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=",
                "-c", "fsync=off", "-c", "max_connections=200", "-c", "shared_buffers=32MB",
                "-c", "full_page_writes=off", "-c", "autovacuum=off",
            ],
            stderr=subprocess.DEVNULL,
            cwd=self.directory,
            user=_owner(),
        )  # fmt: skip
        for _ in range(3000):
            with contextlib.suppress(psycopg.OperationalError):
                psycopg.connect(self.url("postgres"), connect_timeout=5).close()
                return
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(0.02)
                break
        raise AssertionError("PostgreSQL does not start")

    def kill(self) -> None:
        """End all of its processes at once, as the loss of its machine does."""
        self.schemas.close()
        process, self.process = self.process, None
        if process is not None:
            main = psutil.Process(process.pid)
            for one in (*main.children(), main):
                with contextlib.suppress(psutil.NoSuchProcess):
                    one.kill()
            process.wait(20)

    def promote(self) -> None:
        """Make a primary of a standby; returns once it takes writes."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            assert connection.execute("SELECT pg_promote(true, 60)").fetchone() == (True,)

    def stop(self) -> None:
        """End it as a crash would; it recovers when it is started again."""
        self.schemas.close()
        process, self.process = self.process, None
        if process is not None:
            process.send_signal(signal.SIGQUIT)  # "immediate": what was committed stays
            process.wait(20)


@contextlib.contextmanager
def running_postgres() -> Iterator[Postgres]:
    """A cluster in a directory that its owner can reach under any user that runs the tests."""
    programs, owner = _programs(), _owner()
    assert programs is not None, "PostgreSQL is not installed"
    with tempfile.TemporaryDirectory(prefix="edgesync-postgres-", dir=_in_memory()) as name:
        directory = Path(name)
        if owner is not None:
            shutil.chown(directory, owner)
        subprocess.run(
            [
                programs / "initdb", "-D", directory / "data", "-U", USER,
                "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync",
            ],
            check=True,
            capture_output=True,
            cwd=directory,
            user=owner,
            timeout=60,
        )  # fmt: skip
        postgres = Postgres(directory, free_port())
        try:
            postgres.start()
            yield postgres
        finally:
            postgres.stop()


@contextlib.contextmanager
def running_standby(primary: Postgres) -> Iterator[Postgres]:
    """A copy of *primary* that each of its commits waits for from now on."""
    programs, owner = _programs(), _owner()
    assert programs is not None, "PostgreSQL is not installed"
    with tempfile.TemporaryDirectory(prefix="edgesync-standby-", dir=_in_memory()) as name:
        directory = Path(name)
        if owner is not None:
            shutil.chown(directory, owner)
        source = f"{primary.url('postgres')}?application_name=standby"
        subprocess.run(
            [
                programs / "pg_basebackup", "-D", directory / "data", "-d", source,
                "--write-recovery-conf", "--checkpoint=fast", "--no-sync",
            ],
            check=True,
            capture_output=True,
            cwd=directory,
            user=owner,
            timeout=60,
        )  # fmt: skip
        standby = Postgres(directory, free_port())
        try:
            standby.start()
            with psycopg.connect(primary.url("postgres"), autocommit=True) as connection:
                connection.execute("ALTER SYSTEM SET synchronous_standby_names = 'standby'")
                connection.execute("SELECT pg_reload_conf()")
                states = "SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'"
                deadline = time.monotonic() + 60
                while not connection.execute(states.encode()).fetchall():
                    assert time.monotonic() < deadline, "the standby does not follow"
                    time.sleep(0.02)
            yield standby
        finally:
            standby.stop()


def _in_memory() -> Path | None:
    """A file system in memory with room for the thousands of small files; None: a usual one."""
    memory = Path("/dev/shm")  # noqa: S108
    has_room = memory.is_dir() and shutil.disk_usage(memory).free > ROOM
    return memory if has_room else None


def _owner() -> str | None:
    """Whom PostgreSQL runs as: it refuses to be root."""
    return "postgres" if os.geteuid() == 0 else None
