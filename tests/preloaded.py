"""`python -m edgesync`, or another module, in processes that are forked with the imports done.

The imports are most of the CPU of a short command and of the start of a server, of which the
tests start hundreds. One process for each process of tests imports, and forks for each command.
"""

import asyncio
import atexit
import contextlib
import gc
import importlib
import json
import os
import resource
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import uvloop

_PRELOADED = (
    *("edgesync.__main__", "edgesync.admin.serve", "cloud.app", "uvicorn.lifespan.off"),
    *("agent_sim.command", "sqlite_utils", "psycopg", "encodings.ascii"),
    "cryptography.hazmat.backends.openssl.backend",
    # What is imported later, when a server opens its hub and a command calls a server.
    *("broker.embedded", "broker.client", "httpcore", "yaml", "edgesync.cli.apply"),
    *("edgesync.cli.get", "edgesync.cli.describe"),
)
_MESSAGE_BYTES = 1 << 17
_SECONDS = 60
"""For an answer: imports take a few, on a busy machine."""
_ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class _ForkRequest:
    """What a fork runs: arguments of `edgesync`, and the files of its output and its errors.

    With an *input*, a file, it has that as standard input, and no terminal. Another *module* is run
    as by `python -m`.
    """

    arguments: Sequence[str]
    output: str
    errors: str
    environment: Mapping[str, str]
    folder: str
    input: str | None = None
    module: str = "edgesync"


class ForkedProcess:
    """`python -m edgesync` with *arguments*; as a `subprocess.Popen`, but forked.

    Its output is added to the file *output*, and its errors to that or to *errors*. It is that of
    the source in *tree*, by default this one. Another *module* is run in place of `edgesync`.
    """

    def __init__(
        self,
        arguments: Iterable[str],
        output: str | Path,
        errors: str | Path | None = None,
        environment: Mapping[str, str] | None = None,
        tree: Path | None = None,
        input_file: Path | None = None,
        module: str = "edgesync",
    ) -> None:
        self.args = [module, *arguments]
        self.returncode: int | None = None
        files = (str(output), str(output if errors is None else errors))
        for file in files:
            Path(file).touch()  # its reader need not wait for the fork
        environment = dict(os.environ if environment is None else environment)
        if tree is not None:
            environment["PYTHONPATH"] = str(tree)
        standard_input = None if input_file is None else str(input_file)
        command = _ForkRequest(
            self.args[1:], *files, environment, os.getcwd(), standard_input, module
        )
        self._parent = _running_parent(tree or _ROOT)
        self.pid: int = self._parent.ask(asdict(command))
        # The number stays that of this process until its status is asked for.
        self._handle = os.pidfd_open(self.pid)

    def poll(self) -> int | None:
        """Its status, if it has ended."""
        if self.returncode is None and select.select([self._handle], [], [], 0)[0]:
            self._end()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Its status, once it has ended; TimeoutExpired after *timeout* seconds."""
        if self.returncode is None:
            if not select.select([self._handle], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            self._end()
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            signal.pidfd_send_signal(self._handle, number)

    def terminate(self) -> None:
        """Send it SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send it SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def _end(self) -> None:
        self.returncode = self._parent.ask(self.pid)
        os.close(self._handle)


def run_edgesync(
    *arguments: str,
    timeout: float = 60,
    environment: Mapping[str, str] | None = None,
    tree: Path | None = None,
    typed: str | None = None,
) -> "subprocess.CompletedProcess[str]":
    """Run `python -m edgesync` to its end; TimeoutExpired after *timeout* seconds.

    It reads what is *typed*, passwords too, without a terminal.
    """
    with tempfile.TemporaryDirectory() as folder:
        output, errors = Path(folder) / "output", Path(folder) / "errors"
        input_file = None
        if typed is not None:
            input_file = Path(folder) / "input"
            input_file.write_text(typed)
        process = ForkedProcess(arguments, output, errors, environment, tree, input_file)
        try:
            status = process.wait(timeout)
        finally:
            process.kill()
        return subprocess.CompletedProcess(
            process.args, status, output.read_text(), errors.read_text()
        )


class ForkServerEnded(Exception):
    """The process that forks ended, so that its answer, and the status of its forks, is lost."""


class _Parent:
    """The process that forks; it is asked over a socket, and ends with it."""

    def __init__(self, tree: Path) -> None:
        self._lock = threading.Lock()
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # This module is that of this source; what it forks is that of *tree*.
        code = f"from {__name__} import serve_forks; serve_forks({theirs.fileno()}, {str(tree)!r})"
        self._socket.settimeout(_SECONDS)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", code], pass_fds=[theirs.fileno()], cwd=_ROOT
            )
        atexit.register(self._close)

    @property
    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def ask(self, question: object) -> int:
        """The number of the process of a command, or the status of a process by its number."""
        with self._lock:
            try:
                self._socket.send(json.dumps(question).encode())
                answer = self._socket.recv(_MESSAGE_BYTES)
            except ConnectionError as error:
                raise ForkServerEnded from error
        if not answer:
            raise ForkServerEnded
        return int(answer)

    def _close(self) -> None:
        self._socket.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_SECONDS)
        self._process.kill()


_parents: dict[Path, _Parent] = {}
_starting = threading.Lock()


def _running_parent(tree: Path) -> _Parent:
    """The process that forks from the source in *tree*; another one if it has ended."""
    with _starting:
        parent = _parents.get(tree)
        if parent is None or parent.has_ended:
            parent = _parents[tree] = _Parent(tree)
        return parent


def serve_forks(descriptor: int, tree: str) -> None:
    """Answer a `_Parent` at the other end of the socket until it is closed."""
    sys.path[0] = tree
    for name in _PRELOADED:
        with contextlib.suppress(ModuleNotFoundError):  # psycopg is optional
            importlib.import_module(name)
    _run_a_server()
    gc.collect()
    gc.freeze()
    with socket.socket(fileno=descriptor) as asked:
        command = _command_of_fork(asked)
    if command is not None:
        _become(command)


def _run_a_server() -> None:
    """Open a server and close it: what is made once for each process is there in all forks.

    No thread of it is left, which a fork would not have.
    """
    app, config = map(importlib.import_module, ("cloud.app", "cloud.config"))
    descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)

    async def run(data: Path) -> None:
        ports = dict.fromkeys(("api_port", "activation_port", "mqtt_port", "sync_port"), 0)
        async with app.open_cloud(config.Settings(data_dir=data, **ports), version=""):
            pass

    with (
        tempfile.TemporaryDirectory() as folder,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        runner.run(run(Path(folder)))
    resource.setrlimit(resource.RLIMIT_NOFILE, descriptors)
    assert threading.active_count() == 1


def _command_of_fork(asked: socket.socket) -> _ForkRequest | None:
    """In each fork what it has to run; in the process that forks None, in the end."""
    while question := asked.recv(_MESSAGE_BYTES):
        wanted: Any = json.loads(question)
        if isinstance(wanted, int):
            _, status = os.waitpid(wanted, 0)
            asked.send(str(os.waitstatus_to_exitcode(status)).encode())
        elif pid := os.fork():
            asked.send(str(pid).encode())
        else:
            return _ForkRequest(**wanted)
    return None


def _become(command: _ForkRequest) -> None:
    """Be the process of *command*, to its end.

    What was imported stays frozen: its collection at the end would copy all its memory.
    """
    if command.input is not None:
        os.setsid()  # a password is not read from the terminal of the tests
        opened = os.open(command.input, os.O_RDONLY)
        os.dup2(opened, 0)
        os.close(opened)
    for path, descriptor in ((command.output, 1), (command.errors, 2)):
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        os.dup2(opened, descriptor)
        os.close(opened)
    os.environ.clear()
    os.environ.update(command.environment)
    os.chdir(command.folder)
    sys.argv[:] = [command.module, *command.arguments]
    try:
        if command.module == "edgesync":
            importlib.import_module("edgesync.__main__").main(prog_name="python -m edgesync")
        else:
            runpy.run_module(command.module, run_name="__main__", alter_sys=True)
    except SystemExit as error:
        if isinstance(error.code, int):
            _end(error.code)
        raise


def _end(status: int) -> None:
    """End as an interpreter does, but free nothing: that would copy all memory, too."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
