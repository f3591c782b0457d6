"""The shell of one node: sockets, files, timers and clock around `device`.

What may go wrong outside (no server, no answer, a refusal) is waited out. What goes wrong inside
(a damaged file, a bug) ends `Agent.run`.
"""

import asyncio
import logging
import secrets
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from random import Random
from typing import assert_never

import httpx

from agent_sim.activation import ActivationClaim, activate
from agent_sim.commands import Asked
from agent_sim.device import DeviceState, Intervals, step
from agent_sim.errors import ActivationError, LinkLost, UnreadableMessage
from agent_sim.events import (
    Action,
    Apply,
    ApplyDone,
    Connected,
    Disconnected,
    Event,
    InstancesExited,
    LogLine,
    MessageReceived,
    Publish,
    Save,
    Started,
    StartResult,
    StartTimer,
    Timer,
    TimerDue,
    UsageMeasured,
)
from agent_sim.facts import FactSource
from agent_sim.faults import CAUSE, FaultKind, NodeFaults
from agent_sim.link import Address, HubLink, open_link
from agent_sim.model import HeldApp, Status
from agent_sim.offers import Offers
from agent_sim.renewal import Pauses, Renewer
from agent_sim.sealing import SealingKeys
from agent_sim.state import NodeDirectory, NodeIdentity
from agent_sim.watch import MachineClock
from agent_sim.wire import WireFormat, decode, encode
from broker.errors import MalformedTopic
from broker.topics import TO_NODE, Channel, parse_topic, topic_for

logger = logging.getLogger(__name__)

MAX_WAITING = 256
"""Messages not looked at yet; more are dropped, as QoS 0 allows."""

OPTIONAL = frozenset({Channel.COMMAND})
"""Subscriptions that a server may refuse: one without commands does."""

Clock = Callable[[], datetime]


def new_run() -> str:
    """Make the `run` of one start."""
    return secrets.token_hex(8)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSettings:
    """How a node behaves; pauses in seconds (docs/protocol.md, "Activation", "Connection")."""

    broker: Address
    encoding: WireFormat = WireFormat.JSON
    intervals: Intervals = field(default_factory=Intervals)
    apply_delay: float = 2.0
    activation_pause: float = 45.0
    first_pause: float = 1.0
    longest_pause: float = 180.0
    renewal: Pauses = field(default_factory=Pauses)
    refuses_commands: bool = False
    faults: NodeFaults = field(default_factory=NodeFaults)
    knows_offers: bool = True
    knows_sealing: bool = True


@dataclass(frozen=True, slots=True)
class Network:
    """Resources that agents share to reach the server; two of them limit how many do so at once."""

    activation: httpx.AsyncClient
    activations: asyncio.Semaphore
    connectors: Executor
    watch: MachineClock


@dataclass(slots=True)
class ReconnectBackoff:
    """Pauses between connections: doubled until one has lasted longer than the pause before it."""

    first: float
    longest: float
    random: Random
    _current: float = 0.0

    def next(self, lasted: float) -> float:
        """Seconds to wait after a connection that *lasted* so many; half of it is random."""
        is_over = lasted > max(self._current, self.first)
        self._current = self.first if is_over or not self._current else self._current * 2
        self._current = min(self._current, self.longest)
        return self._current * self.random.uniform(0.5, 1.0)


@dataclass(frozen=True, slots=True)
class _Raw:
    """A message as it came."""

    topic: str
    payload: bytes


class Agent:
    """Owns one node: its directory, its connection, its state."""

    def __init__(
        self,
        claim: ActivationClaim,
        settings: AgentSettings,
        directory: NodeDirectory,
        source: FactSource,
        network: Network,
        *,
        random: Random,
        clock: Clock | None = None,
    ) -> None:
        self._claim = claim
        self._settings = settings
        self._directory = directory
        self._source = source
        self._network = network
        self._random = random
        # The machine's own clock: it goes into reports as it is.
        self._clock = clock or network.watch.read
        self._renewer = Renewer(
            directory,
            network.activation,
            network.activations,
            publish=lambda message: self._publish(Publish(Channel.RENEW, message, qos=1)),
            on_renewed=self._connect_anew,
            pauses=settings.renewal,
            clock=clock or network.watch.now,
            random=random,
        )
        # Set once activated, or read from the directory.
        self.node_id: str | None = None
        self.state = self._new_state()
        # How many connections were made, and how many messages could not be read or were dropped.
        self.connections = 0
        self.bad_messages = 0
        self._events: asyncio.Queue[Event | _Raw] = asyncio.Queue()
        self._link: HubLink | None = None
        # What call_later has promised; timers by name, the rest by themselves.
        self._timers: dict[Timer, asyncio.TimerHandle] = {}
        self._applying: set[asyncio.TimerHandle] = set()
        # Versions of apps with which the node has vanished already: once is enough.
        self._vanished: set[tuple[str, str]] = set()
        # Seconds for which it does not connect again; 0 unless it vanishes.
        self._silence = 0.0

    @property
    def name(self) -> str:
        """Node id, or the fingerprint of a node that has none yet."""
        return self.node_id or self._claim.fingerprint

    @property
    def is_connected(self) -> bool:
        """Return whether there is a connection with both subscriptions."""
        return self._link is not None

    async def run(self) -> None:
        """Activate if need be, then live until cancelled."""
        identity = await asyncio.to_thread(self._directory.identity) or await self._activate()
        self.node_id = identity.node_id
        await self._sealing_keys()  # made before there is a connection that waits for them
        apps = await asyncio.to_thread(self._directory.apps)
        self.state = self._new_state(apps)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._live(), name=f"{self.name} live")
                tasks.create_task(self._stay_connected(self.node_id), name=f"{self.name} link")
                tasks.create_task(self._renewer.run(identity), name=f"{self.name} renewal")
        finally:
            for handle in (*self._timers.values(), *self._applying):
                handle.cancel()

    def _new_state(self, apps: Sequence[HeldApp] = ()) -> DeviceState:
        offers = Offers(deferral=self._settings.faults.deferral)
        return DeviceState(
            run=new_run(),
            facts=self._source.facts(),
            intervals=self._settings.intervals,
            held={app.name: app for app in apps},
            offers=offers if self._settings.knows_offers else None,
            asked=Asked(refuses=self._settings.refuses_commands),
        )

    async def _activate(self) -> NodeIdentity:
        key = await asyncio.to_thread(self._directory.key)
        while True:
            skew = self._network.watch.skew
            sealing = (await self._sealing_keys()).newest
            try:
                async with self._network.activations:
                    identity = await activate(self._network.activation, self._claim, key, sealing)
            except ActivationError as error:
                if await self._learned_time(skew):
                    continue
                pause = self._settings.activation_pause * self._random.uniform(1.0, 4 / 3)
                logger.warning("%s not activated: %s; again in %.0f s", self.name, error, pause)
                await asyncio.sleep(pause)
            else:
                await asyncio.to_thread(self._directory.save_identity, identity)
                logger.info("%s activated as %s", self.name, identity.node_id)
                return identity

    async def _sealing_keys(self) -> SealingKeys:
        """The present ones, with one that the server can take over; none if it knows none."""
        if not self._settings.knows_sealing:
            return SealingKeys()
        return await asyncio.to_thread(self._directory.sealing_keys, self._network.watch.now())

    async def _learned_time(self, skew: timedelta) -> bool:
        """Return whether dates were wrong and the time of the server is now known.

        *skew* is what the attempt began with: another node of the fleet may have asked meanwhile.
        """
        watch = self._network.watch
        if not watch.is_doubtful:
            return watch.skew != skew
        try:
            await watch.learn()
        except ActivationError as error:
            logger.warning("%s %s", self.name, error)
            return False
        logger.warning("%s: this clock is off by %.0f s", self.name, -watch.skew.total_seconds())
        return True

    # -- the connection -------------------------------------------------------------------------

    async def _stay_connected(self, node_id: str) -> None:
        settings, loop = self._settings, asyncio.get_running_loop()
        backoff = ReconnectBackoff(settings.first_pause, settings.longest_pause, self._random)
        topics = [topic_for(node_id, channel) for channel in sorted(TO_NODE - OPTIONAL)]
        optional = [topic_for(node_id, channel) for channel in sorted(OPTIONAL)]
        failures = 0
        while True:
            began, reason, skew = loop.time(), "", self._network.watch.skew
            keys = await self._sealing_keys()
            self.state = replace(self.state, node_id=node_id, sealing=keys)
            # What does not work with the last certificate may with the one before.
            tls = await asyncio.to_thread(self._directory.tls, previous=failures % 2 == 1)
            try:
                async with open_link(
                    node_id,
                    settings.broker,
                    tls,
                    self._network.connectors,
                    subscribe=topics,
                    optional=optional,
                    on_message=self._on_message,
                    check=self._network.watch.check,
                ) as link:
                    began = loop.time()
                    self._on_connected(link)
                    if failures % 2 == 0:
                        await asyncio.to_thread(self._directory.forget_previous)
                    failures = 0
                    reason = await link.wait_lost()
            except LinkLost as error:
                reason, failures = error.reason, failures + 1
                if not await self._learned_time(skew):
                    self._renewer.failed()
            finally:
                self._link = None
            self._events.put_nowait(Disconnected())
            pause = self._silence or backoff.next(loop.time() - began)
            self._silence = 0.0
            logger.warning("%s not connected: %s; again in %.1f s", self.name, reason, pause)
            await asyncio.sleep(pause)

    def _connect_anew(self) -> None:
        if self._link is not None:
            self._link.end("there is another certificate")

    def _on_connected(self, link: HubLink) -> None:
        self._link = link
        self.connections += 1
        self._renewer.connected()
        self._events.put_nowait(Connected())
        logger.info("%s connected", self.name)

    def _on_message(self, topic: str, payload: bytes) -> None:
        if self._events.qsize() < MAX_WAITING:
            self._events.put_nowait(_Raw(topic, payload))
        else:
            self.bad_messages += 1

    # -- events and actions ---------------------------------------------------------------------

    async def _live(self) -> None:
        await self._happen(Started())
        for app in self.state.held.values():
            if app.status is Status.RUNNING:
                self._flap(app)
        while True:
            event = await self._events.get()
            if isinstance(event, _Raw):
                await self._read(event)
                continue
            if isinstance(event, Connected | TimerDue):
                await self._happen(UsageMeasured(self._source.usage()))
            await self._happen(event)

    async def _read(self, raw: _Raw) -> None:
        try:
            _, channel = parse_topic(raw.topic)
            message = decode(raw.payload)
        except (MalformedTopic, UnreadableMessage) as error:
            self.bad_messages += 1
            logger.warning("%s cannot read a message on %s: %s", self.name, raw.topic, error)
            return
        if channel is Channel.RENEW_RESPONSE:
            self._renewer.answered(message)
        else:
            await self._happen(MessageReceived(channel, message))

    async def _happen(self, event: Event) -> None:
        self.state, actions = step(self.state, event, self._clock())
        for action in actions:
            await self._carry_out(action)

    async def _carry_out(self, action: Action) -> None:
        loop = asyncio.get_running_loop()
        match action:
            case Publish():
                self._publish(action)
            case StartTimer():
                earlier = self._timers.pop(action.timer, None)
                if earlier is not None:
                    earlier.cancel()
                # Those that were not answered together are not to report again together.
                more = self._random.uniform(1.0, 1.5) if action.timer is Timer.ANSWER else 1.0
                self._timers[action.timer] = loop.call_later(
                    action.seconds * more, self._events.put_nowait, TimerDue(action.timer)
                )
            case Apply():
                self._apply(action.apps)
            case Save():
                await asyncio.to_thread(self._directory.save_apps, action.apps)
            case LogLine():
                level = logging.WARNING if action.is_trouble else logging.INFO
                logger.log(level, "%s %s", self.name, action.text)
            case _:
                assert_never(action)

    def _publish(self, action: Publish) -> bool:
        """Send a message over the connection, if there is one; return whether it was accepted."""
        if self._link is None or self.node_id is None:
            return False
        payload = encode(action.message, self._settings.encoding)
        topic = topic_for(self.node_id, action.channel)
        if self._link.publish(topic, payload, action.qos):
            return True
        logger.warning("%s could not send a %s", self.name, action.channel)
        return False

    def _apply(self, apps: Sequence[HeldApp]) -> None:
        """Pretend to start *apps*: it takes a while, and works but for the faults that are set."""
        faults, delay = self._settings.faults, self._settings.apply_delay
        for app in apps:
            if faults.shows(FaultKind.VANISH, app):
                self._vanish(app)
        slow = [app for app in apps if faults.shows(FaultKind.SLOW, app)]
        for seconds, some in (
            (delay, [app for app in apps if app not in slow]),
            (faults.slow_seconds, slow),
        ):
            if some:
                results = tuple(
                    StartResult(app.name, app.version, self._cause(app)) for app in some
                )
                self._later(seconds, ApplyDone(results))
        for app in apps:
            self._flap(app)

    def _cause(self, app: HeldApp) -> str:
        return CAUSE if self._settings.faults.shows(FaultKind.FAIL, app) else ""

    def _vanish(self, app: HeldApp) -> None:
        link, key = self._link, (app.name, app.version)
        if link is not None and key not in self._vanished:
            self._vanished.add(key)
            self._silence = self._settings.faults.vanish_seconds
            self._link = None  # nothing more is sent
            link.end(f"simulated fault: {app.name} version {app.version} cut it off")

    def _flap(self, app: HeldApp) -> None:
        """Let *app* end once it has run for a while; each of its starts calls this again."""
        faults = self._settings.faults
        if faults.shows(FaultKind.FLAP, app):
            runs_after = self._settings.apply_delay + faults.flap_seconds
            self._later(runs_after, InstancesExited(app.name, app.version))

    def _later(self, seconds: float, event: Event) -> None:
        def due() -> None:
            self._applying.discard(handle)
            self._events.put_nowait(event)

        handle = asyncio.get_running_loop().call_later(seconds, due)
        self._applying.add(handle)
