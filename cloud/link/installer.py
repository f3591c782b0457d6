"""The installer and the agent, for machines with an installation token."""

import io
import json
import shlex
import zipfile
from dataclasses import dataclass
from importlib.resources import files

import msgspec

from cloud.core.installation import AGENT_PATH
from cloud.operations.installation import InstallTarget

_AGENT = "edgesync_agent"
_START = b"""from edgesync_agent.zip_imports import compile_once
compile_once()
from edgesync_agent.__main__ import main
main()
"""


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """By which names machines reach this server: the URL for activation, and the MQTT hub."""

    activation: str
    mqtt_host: str
    mqtt_port: int


def agent_program() -> bytes:
    """The agent as one file that Python runs: always the same bytes for the same sources."""
    sources = {
        f"edgesync_agent/{file.name}": file.read_bytes()
        for file in files(_AGENT).iterdir()
        if file.name.endswith(".py")
    }
    program = io.BytesIO(b"#!/usr/bin/env python3\n")
    program.seek(0, io.SEEK_END)
    with zipfile.ZipFile(program, "a", zipfile.ZIP_DEFLATED) as archive:
        for name, content in sorted({**sources, "__main__.py": _START}.items()):
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return program.getvalue()


def installer_script(address: ServerAddress, token: str, target: InstallTarget) -> bytes:
    """The installer script, with address, token and target filled in."""
    text = (files(_AGENT) / "install.sh").read_text(encoding="utf-8")
    settings = {
        "activation": address.activation,
        "mqttHost": address.mqtt_host,
        "mqttPort": address.mqtt_port,
        "kind": target.kind.value,
        "name": target.name,
        "token": token,
        "fingerprint": msgspec.to_builtins(target.fingerprint),
    }
    agent_url = f"{address.activation}{AGENT_PATH}?token={token}"
    for variable, value in (("settings", json.dumps(settings)), ("agent_url", agent_url)):
        text = text.replace(f"{variable}=''\n", f"{variable}={shlex.quote(value)}\n", 1)
    return text.encode()
