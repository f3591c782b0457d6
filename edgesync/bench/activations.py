"""Activations a second, end to end, beside how fast certificates alone are signed.

A server of its own (`edgesync serve`) gets them over TLS, a new connection and a signing request of
its own for each; the load comes from this process, on the same machine. The requests are made
before the clock starts. Signing alone is the authority's, in this process, in the same run.
"""

import asyncio
import json
import ssl
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import httpx
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from certs.authority import Authority
from certs.keys import key_pem
from certs.signing_requests import read_signing_request
from edgesync.bench.site import NO_TLS, BenchServer, start_server

MAX_DEVICES = 20_000
SPARE = 1000
"""Devices for which the batch has room beside those that are activated."""

_PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class ActivationResult:
    """The results; times in milliseconds, rates by the second."""

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


@dataclass(frozen=True, slots=True)
class BenchDevice:
    """A device that has no certificate yet, in PEM."""

    key: bytes
    csr: str


@dataclass(frozen=True, slots=True)
class ActivationOutcome:
    """The result of one activation."""

    seconds: float
    raw: bytes

    @property
    def is_refused(self) -> bool:
        """Return whether there is no certificate in it."""
        return not self.raw.startswith(b"HTTP/1.1 200 ")

    @property
    def content(self) -> dict[str, Any]:
        """Its JSON."""
        content: dict[str, Any] = json.loads(self.raw.partition(b"\r\n\r\n")[2])
        return content


def make_devices(count: int) -> list[BenchDevice]:
    """As many as are wanted; some share a key, which the server cannot know."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "bench")])
    builder = x509.CertificateSigningRequestBuilder().subject_name(name)
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(min(count, 64))]
    made = [
        BenchDevice(
            key_pem(key),
            builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode(),
        )
        for key in keys
    ]
    return [made[number % len(made)] for number in range(count)]


def signing_rate(csr: str, seconds: float) -> float:
    """Requests read and certificates signed each second, by the authority alone."""
    now = datetime.now(UTC)
    authority, _ = Authority.create("bench", now=now, serials=(1, 2))
    count, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        key = read_signing_request(csr)
        authority.issue_node(key, f"default.n{count}", now=now, serial=x509.random_serial_number())
        count += 1
    return count / (time.perf_counter() - began)


def make_batch(ready: dict[str, str], devices: int) -> dict[str, str]:
    """A batch for all of them; the request of each."""
    token = Path(ready["admin_token_file"]).read_text().strip()
    labels = {"fleet": "bench"}
    body = {"name": "bench", "enableWhitelist": 0, "quotaNum": devices, "labels": labels}
    answer = httpx.post(
        f"{ready['api']}/v1/register",
        json=body,
        headers={"Authorization": f"Bearer {token}"},
        verify=NO_TLS,
    )
    answer.raise_for_status()
    made = answer.json()
    return {
        "batchName": "bench",
        "securityType": made["securityType"],
        "securityValue": made["securityKey"],
    }


def bodies_for(claim: dict[str, str], devices: Sequence[BenchDevice]) -> list[bytes]:
    """The requests of *devices* for the batch of *claim*; the n-th is `sn-n`."""
    return [
        json.dumps({**claim, "fingerprintValue": f"sn-{number}", "csr": device.csr}).encode()
        for number, device in enumerate(devices)
    ]


async def activate_all(
    url: str, trust: ssl.SSLContext, bodies: Sequence[bytes], parallel: int
) -> list[ActivationOutcome]:
    """Activate all, so many at a time; the answers in the order of *bodies*."""
    host, port = url.removeprefix("https://").rsplit(":", 1)
    waiting = iter(enumerate(bodies))
    answers = dict[int, ActivationOutcome]()

    async def device() -> None:
        for number, body in waiting:
            began = time.perf_counter()
            reader, writer = await asyncio.open_connection(
                host, int(port), ssl=trust, ssl_handshake_timeout=_PATIENCE
            )
            writer.write(
                b"POST /v1/active HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n"
                b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
                % (len(body), body)
            )
            raw = await reader.read()
            writer.close()
            answers[number] = ActivationOutcome(time.perf_counter() - began, raw)

    async with asyncio.TaskGroup() as group:
        for _ in range(parallel):
            group.create_task(device())
    return [answers[number] for number in range(len(bodies))]


def main(devices: int, parallel: int) -> ActivationResult:
    """Measure one server."""
    with tempfile.TemporaryDirectory(prefix="edgesync-bench-") as name:
        running = start_server(Path(name) / "data")
        try:
            running.wait_until_ready()
            return measure(running, make_devices(devices), parallel)[0]
        finally:
            running.stop()


def measure(
    running: BenchServer, devices: Sequence[BenchDevice], parallel: int
) -> tuple[ActivationResult, list[ActivationOutcome]]:
    """Activate *devices* at a server that *running* is; the time and the answers."""
    # About as long as the devices take, and no longer than a second.
    signed = signing_rate(devices[0].csr, min(1.0, len(devices) / 100))
    bodies = bodies_for(make_batch(running.ready, len(devices) + SPARE), devices)
    trust = ssl.create_default_context(cafile=running.ready["ca"])
    before, own = running.cpu_seconds, time.process_time()
    began = time.perf_counter()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        answers = runner.run(activate_all(running.ready["activation"], trust, bodies, parallel))
    seconds = time.perf_counter() - began
    cpu, own = running.cpu_seconds - before, time.process_time() - own
    took = sorted(answer.seconds for answer in answers)
    refused = sum(answer.is_refused for answer in answers)
    result = ActivationResult(
        devices=len(devices),
        parallel=parallel,
        activations_per_second=(len(devices) - refused) / seconds,
        p50_ms=took[len(took) // 2] * 1000,
        p99_ms=took[min(len(took) - 1, len(took) * 99 // 100)] * 1000,
        refused=refused,
        server_cpu_ms=cpu * 1000 / len(devices),
        load_cpu_ms=own * 1000 / len(devices),
        signed_per_second=signed,
    )
    return result, answers


@click.command()
@click.option("--devices", type=click.IntRange(1, MAX_DEVICES), default=2000, show_default=True)
@click.option("--parallel", type=click.IntRange(1, 256), default=16, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print the numbers as JSON.")
def command(devices: int, parallel: int, as_json: bool) -> None:  # noqa: FBT001
    """Benchmark activations end to end; baseline: signing alone."""
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
