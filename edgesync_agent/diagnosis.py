"""One archive with what helps to find a fault; bounded, and without secrets."""

from __future__ import annotations

import base64
import io
import json
import os
import platform
import sys
import tarfile
import time
from pathlib import Path
from typing import Any, Mapping, Sequence

from edgesync_agent import VERSION
from edgesync_agent.log_jobs import Sources
from edgesync_agent.machine import Usage, facts
from edgesync_agent.runtime import RuntimeFailure

SIZE_LIMIT = 48 * 1024  # bytes of the archive: 64 KiB in base64 digits
LOG_LINES = 400  # of each log, if there is room
HIDDEN = "***"
SECRET_LENGTH = 6  # shorter texts are not looked for: they are in too many words


def archive_of(home: Path, state: Mapping[str, Any], logs: Sources, secrets: Sequence[str]) -> str:
    """The archive, gzip-compressed, in base64 digits; *secrets* are nowhere in it."""
    lines = LOG_LINES
    while True:
        data = _packed(_files(home, state, logs, lines), secrets)
        if len(data) <= SIZE_LIMIT or lines == 0:
            return base64.b64encode(data[:SIZE_LIMIT]).decode()
        lines //= 2


def _files(home: Path, state: Mapping[str, Any], logs: Sources, lines: int) -> dict[str, bytes]:
    disk = os.statvfs(home)
    machine = {
        **facts("", ""),
        "python": sys.version,
        "platform": platform.platform(),
        "usage": Usage().stats(),
        "load": os.getloadavg(),
        "disk": {
            "size": disk.f_blocks * disk.f_frsize,
            "free": disk.f_bavail * disk.f_frsize,
            "freeFiles": disk.f_favail,
        },
    }
    agent = {"version": VERSION, "home": str(home), "time": time.time(), **state}
    files = {
        "machine.json": json.dumps(machine, indent=1).encode(),
        "agent.json": json.dumps(agent, indent=1, default=str).encode(),
    }
    for name, reader in logs if lines else ():
        try:
            text = b"".join(reader(lines=lines, since=0.0, follow=0.0))
        except (RuntimeFailure, OSError) as error:
            text = f"cannot be read: {error}\n".encode()
        files[f"logs/{name.replace('/', '_')}.log"] = text[-8 * SIZE_LIMIT :]
    return files


def _packed(files: Mapping[str, bytes], secrets: Sequence[str]) -> bytes:
    hidden = sorted((s.encode() for s in secrets if len(s) >= SECRET_LENGTH), key=len, reverse=True)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, content in files.items():
            for secret in hidden:
                content = content.replace(secret, HIDDEN.encode())
            entry = tarfile.TarInfo(f"edgesync-diagnose/{name}")
            entry.size, entry.mtime, entry.mode = len(content), int(time.time()), 0o600
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()
