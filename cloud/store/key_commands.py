"""Commands that encrypt and decrypt a key: run with a time limit, and a bound for their output."""

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Sequence

from cloud.errors import Unavailable

COMMAND_SECONDS = 30.0
"""Time limit of one command."""

OUTPUT_LIMIT = 16 * 1024
"""Bytes that a command may write."""


def run_key_command(
    setting: str, command: Sequence[str], content: bytes, *, seconds: float = COMMAND_SECONDS
) -> bytes:
    """What *command* writes when it reads *content*; no shell is used.

    Its errors go where those of this process go. Unavailable, with the name of the *setting*, if it
    cannot be started, fails, takes longer than *seconds* or writes more than OUTPUT_LIMIT; it is
    killed then, with all that it started.
    """
    try:
        process = subprocess.Popen(  # noqa: S603  # the operator's own command
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            close_fds=True,
        )
    except (OSError, ValueError) as error:
        raise Unavailable(f"{setting}: cannot start {command[0]}: {error}") from error
    is_late = threading.Event()

    def end() -> None:
        is_late.set()
        _kill(process)

    timer = threading.Timer(seconds, end)
    timer.start()
    try:
        output = _exchanged(process, content)
        if len(output) > OUTPUT_LIMIT:
            raise Unavailable(f"{setting}: {command[0]} wrote more than {OUTPUT_LIMIT} bytes")
        code = process.wait()
    finally:
        timer.cancel()
        _kill(process)
        process.wait()
    if is_late.is_set():
        raise Unavailable(f"{setting}: {command[0]} did not end within {seconds:g} s")
    if code:
        raise Unavailable(f"{setting}: {command[0]} failed with exit code {code}")
    return output


def _exchanged(process: "subprocess.Popen[bytes]", content: bytes) -> bytes:
    """Write *content*, then read until the end or a byte more than OUTPUT_LIMIT."""
    if process.stdin is None or process.stdout is None:
        raise AssertionError("both are pipes")
    with process.stdout:
        with contextlib.suppress(BrokenPipeError), process.stdin:
            process.stdin.write(content)
        return process.stdout.read(OUTPUT_LIMIT + 1)


def _kill(process: "subprocess.Popen[bytes]") -> None:
    """Kill the process group, which may outlive the process that began it."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
