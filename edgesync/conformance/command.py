"""`edgesync conformance`: play the server to a device under test."""

import asyncio
import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import click

from broker.ports import free_port
from certs.files import load_or_create_authority
from edgesync.cli.output import printable
from edgesync.conformance.checks import CheckResult, Finding, Findings
from edgesync.conformance.played import Played, now
from edgesync.conformance.scenario import Scenario
from edgesync.conformance.server import (
    BATCH,
    NODE_ID,
    TOKEN,
    Ports,
    in_url,
    listens_to_impostor,
    running_server,
)

DEFAULT_PATIENCE = 60
END_SECONDS = 5
"""That a device has to end."""

_COLORS = {CheckResult.PASSED: "green", CheckResult.FAILED: "red", CheckResult.NOT_TRIED: "yellow"}


@click.command(context_settings={"ignore_unknown_options": True})
@click.option("--listen", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--activation-port", default=0, help="Port for activation.  [default: a free one]")
@click.option("--mqtt-port", default=0, help="Port for MQTT.  [default: a free one]")
@click.option(
    "--patience",
    type=click.FloatRange(min=1),
    default=DEFAULT_PATIENCE,
    show_default=True,
    help="Seconds that the device has for each step; longer than its report interval.",
)
@click.option(
    "--impostor",
    is_flag=True,
    help="Begin with a server of another authority, which the device has to refuse.",
)
@click.argument("device", nargs=-1, type=click.UNPROCESSED)
def conformance(
    listen: str,
    activation_port: int,
    mqtt_port: int,
    patience: float,
    device: tuple[str, ...],
    *,
    impostor: bool,
) -> None:
    """Test a device against the protocol, and print which rules it breaks.

    Without DEVICE it waits for a device that you start yourself. DEVICE is a command to start; it
    finds in its environment what it needs (EDGESYNC_DEVICE_URL and others, see
    docs/device-authors.md). Exits with 1 if a rule of the protocol was broken.
    """
    findings = Findings()
    with tempfile.TemporaryDirectory(prefix="edgesync-conformance-") as folder:
        try:
            asyncio.run(
                _examine(
                    findings,
                    Path(folder),
                    listen,
                    (activation_port, mqtt_port),
                    patience,
                    device,
                    impostor=impostor,
                )
            )
        except OSError as error:
            raise click.ClickException(f"cannot listen on {listen}: {error}") from error
        except KeyboardInterrupt:
            click.echo("Stopped before the end.", err=True)
    for finding in findings:
        click.echo(_line(finding))
    if findings.has_failed:
        raise click.exceptions.Exit(1)


async def _examine(
    findings: Findings,
    folder: Path,
    host: str,
    ports: tuple[int, int],
    patience: float,
    device: Sequence[str],
    *,
    impostor: bool,
) -> None:
    authority = load_or_create_authority(folder / "ca", now=now())
    activation, mqtt = (port or free_port(host) for port in ports)
    found = Ports(host, activation, mqtt, folder / "ca" / "root.pem")
    _announce(found)
    with contextlib.ExitStack() as stack:

        def start() -> None:
            stack.enter_context(_started(device, found, folder))

        if impostor:
            await _impersonate(findings, folder, found, patience, start)
        else:
            findings.not_tried("impostor", "only with --impostor")
        async with running_server(folder / "ca", authority, found, findings) as server:
            if not impostor:
                start()
            played = Played(server.hub, NODE_ID, findings)
            async with asyncio.TaskGroup() as tasks:
                taking = tasks.create_task(played.run(), name="messages of the device")
                await _lead(findings, played, server.activation.is_done, patience)
                taking.cancel()
            stack.close()  # before the port goes, so that the device meets no closed one


async def _impersonate(
    findings: Findings, folder: Path, ports: Ports, patience: float, start: Callable[[], None]
) -> None:
    """Stand in for the server with a certificate that the device has no reason to trust."""
    was_trusted = await listens_to_impostor(folder, ports, patience, start)
    if was_trusted is None:
        findings.not_tried("impostor", f"no device came within {patience:g} s")
    elif was_trusted:
        findings.failed("impostor", "it sent a request to a server of another authority")
    else:
        findings.passed("impostor")


async def _lead(
    findings: Findings, played: Played, activated: asyncio.Event, patience: float
) -> None:
    try:
        async with asyncio.timeout(patience):
            await activated.wait()
    except TimeoutError:
        findings.failed("activation", f"no device was activated within {patience:g} s")
        return
    await Scenario(played, findings, patience).run()


def _announce(ports: Ports) -> None:
    for name, value in _environment(ports).items():
        click.echo(f"{name}={value}", err=True)


def _environment(ports: Ports, data: str = "") -> dict[str, str]:
    """The data that a device needs, by the names that its program finds it under."""
    return {
        "EDGESYNC_DEVICE_URL": f"https://{in_url(ports.host)}:{ports.activation}",
        "EDGESYNC_DEVICE_MQTT_HOST": ports.host,
        "EDGESYNC_DEVICE_MQTT_PORT": str(ports.mqtt),
        "EDGESYNC_DEVICE_CA": str(ports.ca_file),
        "EDGESYNC_DEVICE_BATCH": BATCH,
        "EDGESYNC_DEVICE_TOKEN": TOKEN,
        **({"EDGESYNC_DEVICE_DATA": data} if data else {}),
    }


@contextlib.contextmanager
def _started(device: Sequence[str], ports: Ports, folder: Path) -> Iterator[None]:
    """Run the command *device* meanwhile, if there is one; its output goes to standard error."""
    if not device:
        yield
        return
    data = folder / "device"
    data.mkdir()
    environment = {**os.environ, **_environment(ports, str(data))}
    try:
        process = subprocess.Popen(  # noqa: S603  # the command that was given
            device, env=environment, stdin=subprocess.DEVNULL, stdout=sys.stderr.fileno()
        )
    except OSError as error:
        raise click.ClickException(f"cannot start {device[0]}: {error.strerror}") from error
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _line(finding: Finding) -> str:
    result = click.style(f"{finding.result.value:<9}", fg=_COLORS[finding.result])
    text = f"{result}  {finding.rule.name:<15}  {finding.rule.text}"
    where = f" (docs/protocol.md#{finding.rule.section})"
    detail = f"\n{'':11}{finding.detail}{where}" if finding.detail else ""
    return text + printable(detail)
