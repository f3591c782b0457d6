"""Mosquitto as a child of this process: found, started, restarted, reloaded, stopped.

Where this process is killed the kernel ends it too (PR_SET_PDEATHSIG, prctl(2)). One that runs
nevertheless is ended at the next start: other systems have no such signal, and Mosquitto 2.0 loses
a signal that comes while it starts.
"""

import asyncio
import itertools
import logging
import os
import re
import shutil
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import psutil

from broker.errors import BrokerMissing, BrokerNotStarted
from broker.task_group import BlockTaskGroup

logger = logging.getLogger(__name__)

START_SECONDS = 5.0
"""Time to start in; one of a server that was killed may be ending."""

STOP_SECONDS = 10.0
"""Time to save its state in, after SIGTERM."""

RELOAD_SECONDS = 0.25
"""After SIGHUP Mosquitto reads its certificates and lists within a turn of its loop, 100 ms."""

RESTART_LEAST, RESTART_MOST = 0.5, 30.0
"""Seconds before it is started again; doubled each time that it ends soon."""

_CONFIGURATION, _PID_FILE = "mosquitto.conf", "mosquitto.pid"
_SIGNAL_SECONDS = 0.5  # until a SIGTERM is sent again
_LOOK_SECONDS = 0.005
_AGAIN_SECONDS = 0.2
_VERSION_SECONDS = 10.0
_LEAST_VERSION = 2
_IRRELEVANT = "Unable to set TCP_NODELAY"  # of the server's socket, which needs none
_BESIDE_PATH = ("/usr/local/sbin", "/usr/sbin", "/opt/homebrew/sbin")

# In a process of its own: code between fork and exec is not safe in one with threads.
_LAUNCH = """
import ctypes, os, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)
if os.getppid() == int(sys.argv[1]):
    os.execv(sys.argv[2], sys.argv[2:])
"""


def find_mosquitto(path: str | None = None) -> str:
    """Where Mosquitto is, by *path* and where systems keep servers; BrokerMissing if nowhere."""
    if path is None:
        path = os.pathsep.join((os.environ.get("PATH", ""), *_BESIDE_PATH))
    program = shutil.which("mosquitto", path=path)
    if program is None:
        raise BrokerMissing("there is no mosquitto on the PATH")
    return program


async def check_version(program: str) -> None:
    """Raise BrokerMissing if *program* is no Mosquitto 2."""
    # `-h` prints the version first, and fails.
    asked = await asyncio.create_subprocess_exec(
        program,
        "-h",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(_VERSION_SECONDS):
            text, _ = await asked.communicate()
    except TimeoutError as error:
        asked.kill()
        raise BrokerMissing(f"{program} prints no version") from error
    version = re.search(rb"mosquitto version (\d+)", text)
    if version is None or int(version[1]) < _LEAST_VERSION:
        raise BrokerMissing(f"{program} is older than version {_LEAST_VERSION}")


class ManagedBroker:
    """Owns the process; made by `open_managed_broker`."""

    def __init__(self, program: str, directory: Path, listening: Path) -> None:
        self._program = program
        self._directory = directory
        self._listening = listening
        self._process: asyncio.subprocess.Process | None = None
        self._last_line = ""  # of its log

    @property
    def pid(self) -> int | None:
        """The process, while there is one."""
        return self._process.pid if self._process is not None else None

    async def start(self, patience: float) -> None:
        """Start it and wait until it listens; BrokerNotStarted after *patience* seconds.

        That has the last line of an attempt that ended: another one may have logged less by then.
        BrokerMissing if it does not start and is older than version 2.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + patience
        reason = ""
        for attempt in itertools.count():
            process = await self._launch()
            while process.returncode is None and loop.time() < deadline:
                if _accepts(self._listening):
                    return
                self._last_line = await _line_of(process, _LOOK_SECONDS) or self._last_line
            has_ended = process.returncode is not None
            await self.stop()
            if has_ended or not reason:
                reason = self._last_line
            if not attempt:
                await check_version(self._program)
            if loop.time() > deadline:
                raise BrokerNotStarted(reason or "it does not listen")
            await asyncio.sleep(_AGAIN_SECONDS)

    async def run(self) -> None:
        """Log what it reports, and start it again whenever it has ended, until cancelled."""
        loop = asyncio.get_running_loop()
        pause = RESTART_LEAST
        while True:
            began = loop.time()
            if self._process is not None:
                code = await self._attend(self._process)
                logger.error("Mosquitto has ended (%d): %s", code, self._last_line)
            if loop.time() - began > pause:
                pause = RESTART_LEAST
            await asyncio.sleep(pause)
            pause = min(2 * pause, RESTART_MOST)
            await self._launch()

    async def reload(self) -> None:
        """Have it read certificates and revocation lists again; connections stay."""
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGHUP)
            await asyncio.sleep(RELOAD_SECONDS)

    async def stop(self) -> None:
        """End it; it saves what it holds for servers."""
        process, self._process = self._process, None
        if process is None:
            return
        for _ in range(round(STOP_SECONDS / _SIGNAL_SECONDS)):
            with suppress(ProcessLookupError):
                process.terminate()
            with suppress(TimeoutError):
                async with asyncio.timeout(_SIGNAL_SECONDS):
                    await self._attend(process)
                    return
        logger.warning("Mosquitto did not end in %.0f s", STOP_SECONDS)
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()

    async def _launch(self) -> asyncio.subprocess.Process:
        self._listening.unlink(missing_ok=True)
        arguments = (self._program, "-c", str(self._directory / _CONFIGURATION))
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", "-c", _LAUNCH, str(os.getpid()), *arguments),
            cwd=self._directory,
            env=_environment(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the server, which ends it last
        )
        (self._directory / _PID_FILE).write_text(f"{self._process.pid}\n")
        return self._process

    async def _attend(self, process: asyncio.subprocess.Process) -> int:
        while line := await _line_of(process):
            if _IRRELEVANT not in line:
                self._last_line = line
                logger.warning("Mosquitto: %s", line)
        return await process.wait()


@asynccontextmanager
async def open_managed_broker(
    program: str,
    directory: Path,
    files: Mapping[str, str],
    *,
    listening: Path,
    start_seconds: float = START_SECONDS,
) -> AsyncIterator[ManagedBroker]:
    """Run Mosquitto until the block is left, with *files* written to *directory*.

    It listens once it accepts connections at the socket *listening*. BrokerNotStarted where it
    does not start; later it is started again.
    """
    (directory / "state").mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (directory / name).write_text(text, encoding="utf-8")
        (directory / name).chmod(0o600)
    await asyncio.to_thread(_end_left_over, directory)
    managed = ManagedBroker(program, directory, listening)
    await managed.start(start_seconds)
    try:
        async with BlockTaskGroup() as group:
            running = group.create_task(managed.run(), name="Mosquitto")
            try:
                yield managed
            finally:
                running.cancel()
                await asyncio.wait((running,))
    finally:
        await managed.stop()


def _environment() -> dict[str, str]:
    """Without settings of the server, which include passwords."""
    return {name: text for name, text in os.environ.items() if not name.startswith("EDGESYNC_")}


def _end_left_over(directory: Path) -> None:
    """End the broker of an earlier server that was killed."""
    with suppress(OSError, ValueError, psutil.Error):
        process = psutil.Process(int((directory / _PID_FILE).read_text()))
        if str(directory / _CONFIGURATION) not in process.cmdline():
            return  # another process has that number now
        logger.warning("ending the Mosquitto %d of a server that was killed", process.pid)
        for _ in range(round(STOP_SECONDS / _SIGNAL_SECONDS)):
            process.terminate()
            with suppress(psutil.TimeoutExpired):
                process.wait(_SIGNAL_SECONDS)
                return
        process.kill()


def _accepts(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


async def _line_of(process: asyncio.subprocess.Process, patience: float | None = None) -> str:
    """The next line of its log; "" at the end, or after *patience* seconds."""
    assert process.stderr is not None  # noqa: S101
    while True:
        try:
            async with asyncio.timeout(patience):
                line = await process.stderr.readline()
        except TimeoutError:
            return ""
        except ValueError:  # longer than the reader's limit, and discarded
            continue
        if not line:
            if patience is not None:
                await asyncio.sleep(patience)
            return ""
        if text := line.decode(errors="replace").strip():
            return text
