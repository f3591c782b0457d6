"""A device under test: the examples keep every rule, and one that does not is caught."""

import asyncio
import os
import shutil
import ssl
import subprocess
import sys
from pathlib import Path

import pytest

from edgesync.conformance.checks import RULES, CheckResult, Findings
from edgesync.conformance.server import Ports, listens_to_impostor
from tests.ports import free_port
from tests.repo.tracked import ROOT

EXAMPLES = ROOT / "examples"
OPTIONAL = {"impostor"}
LIBRARIES = ("mosquitto.h", "curl/curl.h", "cjson/cJSON.h", "openssl/evp.h")
SECONDS = 240

pytestmark = pytest.mark.timeout(SECONDS + 30)


async def examined(*device: str) -> dict[str, str]:
    """The command's result for each rule of *device*."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "edgesync", "conformance", "--patience", "15", "--", *device,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "EDGESYNC_DEVICE_INTERVAL": "8"},
    )  # fmt: skip
    async with asyncio.timeout(SECONDS):
        output, errors = await process.communicate()
    found = {}
    for line in output.decode().splitlines():
        words = line.replace("not tried", "not-tried").split()
        if words and words[0] in {"passed", "failed", "not-tried"}:
            found[words[1]] = words[0]
    assert set(found) == {rule.name for rule in RULES}, errors.decode()
    assert process.returncode == (1 if "failed" in found.values() else 0)
    return found


def compiled(folder: Path) -> str:
    """The example in C as a program; a missing compiler or library is a skip, in CI a failure."""
    compiler = shutil.which("cc")
    program = folder / "node"
    probe = "".join(f"#include <{header}>\n" for header in LIBRARIES) + "int main(void){return 0;}"
    here = compiler is not None and (
        subprocess.run(
            [compiler, "-xc", "-fsyntax-only", "-"], input=probe.encode(), check=False,
            capture_output=True,
            timeout=60,
        ).returncode == 0
    )  # fmt: skip
    if not here:
        text = "no C compiler with libmosquitto, libcurl, cJSON and OpenSSL"
        if os.environ.get("CI"):
            pytest.fail(text)
        pytest.skip(text)
    assert compiler is not None
    command = [compiler, "-O1", "-Wall", "-Wextra", "-Werror", "-o", str(program)]
    libraries = ["-lmosquitto", "-lcurl", "-lcjson", "-lcrypto"]
    subprocess.run([*command, str(EXAMPLES / "node.c"), *libraries], check=True, timeout=60)
    return str(program)


async def test_examples_keep_every_rule_and_a_faulty_node_is_caught(tmp_path: Path) -> None:
    python = sys.executable
    faulty = str(Path(__file__).parent / "faulty_node.py")
    in_python, in_c, with_faults = await asyncio.gather(
        examined(python, str(EXAMPLES / "node.py")),
        examined(compiled(tmp_path)),
        examined(python, faulty),
    )
    every = {rule.name: "passed" for rule in RULES if rule.name not in OPTIONAL}
    assert {name: in_python[name] for name in every} == every
    assert {name: in_c[name] for name in every} == every
    caught = {name for name, result in with_faults.items() if result == "failed"}
    assert caught >= {
        "sequence",
        "app-status",
        "moved-on",
        "offers",
        "old-answer",
        "again",
        "properties",
        "quiet",
        "command-unknown",
        "command-late",
        "command-twice",
    }
    assert with_faults["activation"] == with_faults["applies"] == "passed"


@pytest.mark.parametrize("trusts_everybody", [True, False])
async def test_a_device_that_trusts_an_impostor_is_caught(
    tmp_path: Path, *, trusts_everybody: bool
) -> None:
    ports = Ports("127.0.0.1", free_port("127.0.0.1"), 0, tmp_path / "root.pem")
    listening = asyncio.Event()

    async def device() -> None:
        await listening.wait()
        context = ssl.create_default_context()
        if trusts_everybody:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        try:
            _, writer = await asyncio.open_connection(
                ports.host, ports.activation, ssl=context, server_hostname="localhost"
            )
        except ssl.SSLError:
            return
        writer.write(b"POST /v1/active HTTP/1.1\r\n")
        writer.close()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(device())
        found = await listens_to_impostor(tmp_path, ports, 10, listening.set)
    assert found is trusts_everybody


def test_a_failure_stays_whatever_passes_later() -> None:
    findings = Findings()
    findings.passed("report")
    findings.failed("report", "first")
    findings.failed("report", "second")
    findings.passed("report")
    assert findings.result("report") is CheckResult.FAILED
    assert [one.detail for one in findings if one.rule.name == "report"] == ["first"]
    assert findings.has_failed


def test_every_rule_names_a_section_of_the_protocol() -> None:
    page = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
    headings = {line[3:].lower() for line in page.splitlines() if line.startswith("## ")}
    assert {rule.section for rule in RULES} <= headings
