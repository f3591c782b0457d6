"""`edgesync sim`: simulated nodes against a real server."""

import asyncio
import hashlib
import logging
import re
import resource
import signal
import ssl
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, TypeVar
from urllib.parse import urlsplit

import click
import uvloop

from agent_sim.activation import ActivationClaim
from agent_sim.agent import AgentSettings
from agent_sim.device import Intervals
from agent_sim.errors import FaultRuleError, SimError
from agent_sim.facts import HostSource, SimulatedSource
from agent_sim.faults import FaultKind, FaultRule, NodeFaults, read_rule, rules_by_node
from agent_sim.fingerprint import ALL, Property, Sources, fingerprint
from agent_sim.fleet import AgentFleet, FleetResult, Member, open_network
from agent_sim.link import Address
from agent_sim.state import read_ca
from agent_sim.watch import utc_now
from agent_sim.wire import WireFormat

SPARE_FILES = 200
"""Open files beside one socket for each node."""

_Decorated = TypeVar("_Decorated", bound=Callable[..., Any])

_SAFE = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")


def _url(_: click.Context, __: click.Parameter, value: str) -> str:
    """Check an https address without a path."""
    parts = urlsplit(value)
    if parts.scheme != "https" or not parts.hostname or parts.path not in {"", "/"}:
        raise click.BadParameter(f"{value!r} is not https://HOST:PORT")
    return value.rstrip("/")


def _address(_: click.Context, __: click.Parameter, value: str) -> Address:
    """Read host and port; an IPv6 host is in brackets."""
    try:
        parts = urlsplit(f"//{value}")
        address = Address(parts.hostname or "", parts.port or 0)
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is not HOST:PORT") from error
    if not address.host or not address.port or parts.path:
        raise click.BadParameter(f"{value!r} is not HOST:PORT")
    return address


def _rules(
    _: click.Context, parameter: click.Parameter, values: Sequence[str]
) -> Sequence[FaultRule]:
    """Read the rules of one kind of fault."""
    try:
        return [read_rule(FaultKind(parameter.name), value) for value in values]
    except FaultRuleError as error:
        raise click.BadParameter(str(error)) from error


def _fault(name: str, text: str) -> Callable[[_Decorated], _Decorated]:
    return click.option(
        f"--{name}", metavar="APP@VERSION:SHARE%", multiple=True, callback=_rules, help=text
    )


_SECONDS = click.FloatRange(0)
_PATH = click.Path(path_type=Path)


@dataclass(frozen=True, slots=True, kw_only=True)
class _CommandOptions:
    """The command line, as given."""

    count: int
    batch: str
    activation: str
    mqtt: Address
    ca: Path
    token: str | None
    namespace: str
    fingerprint: str
    state_dir: Path
    interval: float
    stats_interval: float
    apply_delay: float
    encoding: str
    seed: int
    host_node: bool
    fingerprint_type: int
    sn_path: Path | None
    input_value: str
    clock_offset: float
    refuse_commands: bool
    fail: Sequence[FaultRule]
    vanish: Sequence[FaultRule]
    slow: Sequence[FaultRule]
    flap: Sequence[FaultRule]
    defer: Sequence[FaultRule]
    vanish_for: float
    slow_for: float
    flap_every: float
    defer_for: float
    ignore_offers: bool
    ignore_sealing: bool
    duration: float
    quiet: bool


@click.command()
@click.option("--count", type=click.IntRange(1), default=1, help="Nodes to simulate.")
@click.option("--batch", required=True, help="Batch the nodes were made in.")
@click.option(
    "--activation", metavar="URL", callback=_url, required=True, help="Where to get a certificate."
)
@click.option(
    "--mqtt", metavar="HOST:PORT", callback=_address, required=True, help="Where to report."
)
@click.option("--ca", type=_PATH, required=True, help="Authority to trust when activating.")
@click.option("--token", envvar="EDGESYNC_SIM_TOKEN", help="Token of the batch, if it wants one.")
@click.option("--namespace", default="default")
@click.option(
    "--fingerprint",
    metavar="PATTERN",
    default="sim-{index:04d}",
    help="Fingerprint of each node; the index of the first is 1.",
)
@click.option("--state-dir", type=_PATH, default="sim", help="Keep each node's files below this.")
@click.option(
    "--interval", type=click.FloatRange(0, min_open=True), default=20.0, help="Of reports."
)
@click.option("--stats-interval", type=_SECONDS, default=5.0, help="Of stats; 0 sends none.")
@click.option("--apply-delay", type=_SECONDS, default=2.0, help="From fetched to running.")
@click.option("--encoding", type=click.Choice(["json", "msgpack", "mixed"]), default="mixed")
@click.option("--seed", type=int, default=1, help="The same seed makes the same nodes.")
@click.option("--host-node", is_flag=True, help="Let the first node be this machine itself.")
@click.option(
    "--fingerprint-type",
    type=click.IntRange(1, ALL),
    default=int(Property.MACHINEID),
    help="Properties in the fingerprint of the host node, a sum of: 1 sn, 2 input, 4 hostname, "
    "8 bootid, 16 systemuuid, 32 machineid.",
)
@click.option("--sn-path", type=_PATH, help="File with the serial number of the host node.")
@click.option("--input-value", default="", help="What the installer of the host node typed.")
@click.option(
    "--clock-offset", default=0.0, help="Let the nodes' clocks be ahead by this, or behind."
)
@click.option("--refuse-commands", is_flag=True, help="Do nothing that an operator asks for.")
@_fault("fail", "Let nodes report this version as Failed, a share of the fleet.")
@_fault("vanish", "Let nodes go offline when they have got this version.")
@_fault("slow", "Let this version take long to start.")
@_fault("flap", "Let the instances of this version exit again and again.")
@_fault("defer", "Let nodes put this version off where it is offered.")
@click.option("--vanish-for", type=_SECONDS, default=60.0, help="Time until they come back.")
@click.option("--slow-for", type=_SECONDS, default=60.0, help="Time that a slow start takes.")
@click.option(
    "--flap-every",
    type=click.FloatRange(0, min_open=True),
    default=10.0,
    help="Time that an instance which flaps runs.",
)
@click.option("--defer-for", type=_SECONDS, default=60.0, help="Time for which it is put off.")
@click.option("--ignore-offers", is_flag=True, help="Know no offers, as other agents.")
@click.option("--ignore-sealing", is_flag=True, help="Have no encryption key, as other agents.")
@click.option("--duration", type=_SECONDS, default=0.0, help="Stop after this; 0 goes on.")
@click.option("--quiet", is_flag=True, help="Log errors and warnings only.")
@click.pass_context
def sim(context: click.Context, /, **given: Any) -> None:
    """Activate simulated nodes, connect them and apply their desired state.

    Times are in seconds. Stop with Ctrl-C or SIGTERM. Exits with 1 if no node could be activated.
    """
    options = _CommandOptions(**given)
    names = _fingerprints(options)
    logging.basicConfig(
        level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr
    )
    logging.getLogger("agent_sim").setLevel(logging.WARNING if options.quiet else logging.INFO)
    try:
        trust = read_ca(options.ca)
        members = _members(options, names)
        allow_files(options.count + SPARE_FILES)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            result = runner.run(_run(options, trust, members))
    except SimError as error:
        raise click.ClickException(str(error)) from error
    click.echo(str(result))
    context.exit(0 if result.activated else 1)


async def _run(
    options: _CommandOptions, trust: ssl.SSLContext, members: Sequence[Member]
) -> FleetResult:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    random = Random(options.seed)  # noqa: S311  # jitter
    offset = timedelta(seconds=options.clock_offset)

    def clock() -> datetime:
        return utc_now() + offset

    try:
        async with open_network(options.activation, trust, clock) as network:
            return await AgentFleet(members, network, random).run(stop, options.duration)
    except BaseExceptionGroup as group:
        expected, bugs = group.split(SimError)
        if bugs is not None or expected is None:
            raise
        raise _first(expected) from group


def _first(group: BaseExceptionGroup[SimError]) -> SimError:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error


def _fingerprints(options: _CommandOptions) -> list[str]:
    """One for each node; the first may be this machine's own."""
    first = 2 if options.host_node else 1
    try:
        names = [options.fingerprint.format(index=i) for i in range(first, options.count + 1)]
    except (LookupError, ValueError, AttributeError) as error:
        raise click.BadParameter(f"not a pattern: {error}", param_hint="--fingerprint") from error
    if len(set(names)) < len(names) or "" in names:
        raise click.BadParameter("has to differ with {index}", param_hint="--fingerprint")
    return names


def _members(options: _CommandOptions, names: Sequence[str]) -> list[Member]:
    members = []
    if options.host_node:
        sources = Sources(options.sn_path, options.input_value)
        value = fingerprint(options.fingerprint_type, sources)
        members.append(_member(options, value, HostSource(), 0, "host"))
    for name in names:
        source = SimulatedSource(len(members) + 1, options.seed)
        members.append(_member(options, name, source, len(members), _directory(name)))
    return _with_faults(options, members)


def _with_faults(options: _CommandOptions, members: Sequence[Member]) -> list[Member]:
    rules = [*options.fail, *options.vanish, *options.slow, *options.flap, *options.defer]
    chosen = rules_by_node(rules, [each.claim.fingerprint for each in members], options.seed)
    seconds = options.vanish_for, options.slow_for, options.flap_every, options.defer_for
    return [
        replace(
            each,
            settings=replace(
                each.settings, faults=NodeFaults(chosen[each.claim.fingerprint], *seconds)
            ),
        )
        for each in members
    ]


def _member(
    options: _CommandOptions,
    name: str,
    source: HostSource | SimulatedSource,
    index: int,
    directory: str,
) -> Member:
    encodings = {
        "json": (WireFormat.JSON,),
        "msgpack": (WireFormat.MSGPACK,),
        "mixed": (WireFormat.JSON, WireFormat.MSGPACK),
    }[options.encoding]
    settings = AgentSettings(
        broker=options.mqtt,
        encoding=encodings[index % len(encodings)],
        intervals=Intervals(options.interval, options.stats_interval),
        apply_delay=options.apply_delay,
        refuses_commands=options.refuse_commands,
        knows_offers=not options.ignore_offers,
        knows_sealing=not options.ignore_sealing,
    )
    claim = ActivationClaim(
        batch=options.batch, fingerprint=name, namespace=options.namespace, token=options.token
    )
    return Member(claim, settings, source, options.state_dir / directory)


def _directory(name: str) -> str:
    """A directory name that is safe and another one for each fingerprint."""
    if _SAFE.fullmatch(name) and name != "host":
        return name
    return "node-" + hashlib.sha256(name.encode()).hexdigest()[:32]


def allow_files(count: int) -> None:
    """Raise the soft limit of open files towards *count*, as far as the hard one lets us."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
