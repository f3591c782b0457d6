"""Activations a second, end to end, beside how fast certificates alone are signed.

A server of its own (`edgesync serve`) gets them over TLS, a new connection and a signing request of
its own for each; the load comes from this process, on the same machine. The requests are made
before the clock starts. Signing alone is the authority's, in this process, in the same run.
"""

import asyncio
import json
import os
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import click
import httpx
import psutil
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from certs.authority import Authority
from certs.signing_requests import read_signing_request

MAX_DEVICES = 20_000
_PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Result:
    """What came out; times in milliseconds, rates by the second."""

    devices: int
    parallel: int
    activations_per_second: float
    p50_ms: float
    p99_ms: float
    refused: int
    server_cpu_ms: float
    """CPU time of the server for each activation."""
    load_cpu_ms: float
    signed_per_second: float
    """Certificates that one core signs, and does nothing else."""


def signing_requests(count: int) -> list[str]:
    """One for each device; all with one key, which the server cannot know."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "bench")])
    builder = x509.CertificateSigningRequestBuilder().subject_name(name)
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(min(count, 64))]
    made = [builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode() for key in keys]
    return [made[number % len(made)] for number in range(count)]


def signing_rate(csr: str, seconds: float = 1.0) -> float:
    """Requests read and certificates signed each second, by the authority alone."""
    now = datetime.now(UTC)
    authority, _ = Authority.create("bench", now=now, serials=(1, 2))
    count, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        key = read_signing_request(csr)
        authority.issue_node(key, f"default.n{count}", now=now, serial=x509.random_serial_number())
        count += 1
    return count / (time.perf_counter() - began)


@contextmanager
def server(directory: Path) -> Iterator[tuple[psutil.Process, dict[str, str]]]:
    """Run a server on free ports; its process and its ready file."""
    ready = directory / "ready.json"
    ports = [f"--{name}-port=0" for name in ("api", "activation", "mqtt", "sync")]
    limits = ["--requests-per-second=0", "--denials-per-minute=0"]
    command = [sys.executable, "-m", "edgesync", "serve", f"--data-dir={directory / 'data'}"]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("EDGESYNC_")}
    process = subprocess.Popen(  # noqa: S603  # ourselves
        [*command, *ports, *limits, f"--ready-file={ready}", "--log-level=warning"],
        env=environment,
        stdout=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + _PATIENCE
        while not ready.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise click.ClickException("the server did not start")
            time.sleep(0.02)
        yield psutil.Process(process.pid), json.loads(ready.read_text())
    finally:
        process.terminate()
        process.wait()


def make_batch(ready: dict[str, str], devices: int) -> dict[str, str]:
    """A batch for all of them; what each has to say to be activated in it."""
    token = Path(ready["admin_token_file"]).read_text().strip()
    body = {"name": "bench", "enableWhitelist": 0, "quotaNum": devices}
    answer = httpx.post(
        f"{ready['api']}/v1/register", json=body, headers={"Authorization": f"Bearer {token}"}
    )
    answer.raise_for_status()
    made = answer.json()
    return {
        "batchName": "bench",
        "securityType": made["securityType"],
        "securityValue": made["securityKey"],
    }


async def activate_all(
    url: str, trust: ssl.SSLContext, bodies: list[bytes], parallel: int
) -> tuple[list[float], int]:
    """Activate all, so many at a time; seconds of each, and how many were refused."""
    host, port = url.removeprefix("https://").rsplit(":", 1)
    waiting, took, refused = iter(bodies), [], 0

    async def device() -> None:
        nonlocal refused
        for body in waiting:
            began = time.perf_counter()
            reader, writer = await asyncio.open_connection(
                host, int(port), ssl=trust, ssl_handshake_timeout=_PATIENCE
            )
            writer.write(
                b"POST /v1/active HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n"
                b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
                % (len(body), body)
            )
            answer = await reader.read()
            writer.close()
            took.append(time.perf_counter() - began)
            refused += not answer.startswith(b"HTTP/1.1 200 ")

    async with asyncio.TaskGroup() as group:
        for _ in range(parallel):
            group.create_task(device())
    return took, refused


def main(devices: int, parallel: int) -> Result:
    """Measure one server."""
    requests = signing_requests(devices)
    signed = signing_rate(requests[0])
    with (
        tempfile.TemporaryDirectory(prefix="edgesync-bench-") as name,
        server(Path(name)) as (process, ready),
    ):
        claim = make_batch(ready, devices)
        bodies = [
            json.dumps({**claim, "fingerprintValue": f"sn-{number}", "csr": csr}).encode()
            for number, csr in enumerate(requests)
        ]
        trust = ssl.create_default_context(cafile=ready["ca"])
        before, own = _cpu(process), time.process_time()
        began = time.perf_counter()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            took, refused = runner.run(activate_all(ready["activation"], trust, bodies, parallel))
        seconds = time.perf_counter() - began
        cpu, own = _cpu(process) - before, time.process_time() - own
    took.sort()
    return Result(
        devices=devices,
        parallel=parallel,
        activations_per_second=(devices - refused) / seconds,
        p50_ms=took[len(took) // 2] * 1000,
        p99_ms=took[min(len(took) - 1, len(took) * 99 // 100)] * 1000,
        refused=refused,
        server_cpu_ms=cpu * 1000 / devices,
        load_cpu_ms=own * 1000 / devices,
        signed_per_second=signed,
    )


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


@click.command()
@click.option("--devices", type=click.IntRange(1, MAX_DEVICES), default=2000, show_default=True)
@click.option("--parallel", type=click.IntRange(1, 256), default=16, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print the numbers as JSON.")
def command(devices: int, parallel: int, as_json: bool) -> None:  # noqa: FBT001
    """Measure activations end to end, beside signing alone."""
    result = main(devices, parallel)
    if as_json:
        click.echo(json.dumps(asdict(result)))
        return
    click.echo(
        f"{result.activations_per_second:.0f} activations/s, {result.parallel} at a time"
        f" (p50 {result.p50_ms:.1f} ms, p99 {result.p99_ms:.1f} ms), {result.refused} refused"
    )
    click.echo(
        f"CPU for each: server {result.server_cpu_ms:.2f} ms, load {result.load_cpu_ms:.2f} ms"
    )
    click.echo(f"signing alone, one core: {result.signed_per_second:.0f} certificates/s")
