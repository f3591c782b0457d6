"""Commands that encrypt and decrypt a key: run with a time limit, and a bound for their output."""

import contextlib
import os
import selectors
import signal
import subprocess
import time
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
    killed then, with its process group.
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
    deadline = time.monotonic() + seconds
    try:
        output = _exchanged(process, content, deadline)
        if len(output) > OUTPUT_LIMIT:
            raise Unavailable(f"{setting}: {command[0]} wrote more than {OUTPUT_LIMIT} bytes")
        code = process.wait(max(deadline - time.monotonic(), 0))
    except (TimeoutError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"{setting}: {command[0]} did not end within {seconds:g} s") from error
    finally:
        _kill(process)
        process.wait()
    if code:
        raise Unavailable(f"{setting}: {command[0]} failed with exit code {code}")
    return output


def _exchanged(process: "subprocess.Popen[bytes]", content: bytes, deadline: float) -> bytes:
    """Write *content*, then read until the end or a byte more than OUTPUT_LIMIT.

    TimeoutError at the *deadline*: what the process started may have its output still open.
    """
    if process.stdin is None or process.stdout is None:
        raise AssertionError("both are pipes")
    output = b""
    with process.stdout, selectors.DefaultSelector() as selector:
        with contextlib.suppress(BrokenPipeError), process.stdin:
            process.stdin.write(content)  # a pipe has room for a key
        selector.register(process.stdout, selectors.EVENT_READ)
        while len(output) <= OUTPUT_LIMIT:
            if not selector.select(max(deadline - time.monotonic(), 0)):
                raise TimeoutError
            read = os.read(process.stdout.fileno(), OUTPUT_LIMIT + 1)
            if not read:
                break
            output += read
    return output


def _kill(process: "subprocess.Popen[bytes]") -> None:
    """Kill the process group, which may outlive the process that began it."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
