"""The whole behaviour of one node, without I/O: (state, event, now) -> (state, actions).

Feed events in the order in which they happen and carry the actions out in the order in which they
are given; a Save has to be on disk before the Publish after it. Send Started once, first. A
StartTimer replaces a timer of the same name. Timers that are late, early or doubled do no harm.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import assert_never

from agent_sim.bodies import why_not_runnable
from agent_sim.commands import DONE, FAILED, REFUSED, Asked, NodeCommand, answer, read_command
from agent_sim.deltas import sequence_of, wanted_apps, wanted_properties
from agent_sim.events import (
    Actions,
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
from agent_sim.fetching import (
    AppFetch,
    Request,
    WantedApp,
    absorb,
    all_missing,
    fail,
    fetches_for,
    next_infos,
)
from agent_sim.model import BodyName, HeldApp, NodeFacts, NodeUsage, Status
from agent_sim.offers import Offers
from agent_sim.reporting import report_content, stats_content
from agent_sim.sealing import SealingKeys
from agent_sim.wire import (
    INTERVAL,
    REQUEST_ID,
    RUN,
    SEQUENCE,
    SYNC,
    MessageKind,
    MetaValue,
    NodeMessage,
)
from broker.topics import Channel

_LONGEST_INTERVAL = 86_400  # seconds that a report may state (docs/protocol.md, "Report")


@dataclass(frozen=True, slots=True)
class Intervals:
    """How often a node does what, in seconds; no stats where their interval is 0."""

    interval: float = 20.0
    stats_interval: float = 5.0
    request_timeout: float = 30.0
    # For the answer to a report, before it is sent again; doubled while none comes.
    answer_timeout: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceState:
    """All that a node knows; *run* must be another one at each start."""

    run: str
    facts: NodeFacts = field(default_factory=NodeFacts)
    intervals: Intervals = field(default_factory=Intervals)
    usage: NodeUsage = NodeUsage("0", "0")  # noqa: RUF009  # frozen
    held: Mapping[str, HeldApp] = field(default_factory=dict)
    # What people want of it, taken over at once; None until they want any.
    properties: Mapping[str, str] | None = None
    # The apps of the last delta; None before the first one of this run.
    wanted: tuple[WantedApp, ...] | None = None
    # What is offered; None for a node that does not know offers.
    offers: Offers | None = Offers()  # noqa: RUF009  # frozen
    fetches: tuple[AppFetch, ...] = ()
    request: Request | None = None
    # Infos of a request that failed as a whole; see `next_infos`.
    suspects: frozenset[BodyName] = frozenset()
    is_connected: bool = False
    seq: int = 0
    # The highest seq an answer came for.
    answered: int = 0
    # Reports sent again in a row for want of a response.
    unanswered: int = 0
    requests: int = 0
    # The server has nothing to change about what was reported last.
    is_agreed: bool = False
    errors: int = 0
    asked: Asked = Asked()  # noqa: RUF009  # frozen
    # Who the node is, and the keys to which its secrets are sealed; none where it knows none.
    node_id: str = ""
    sealing: SealingKeys = SealingKeys()  # noqa: RUF009  # frozen

    def server_time(self, now: datetime) -> datetime:
        """The server's clock, as far as it is known."""
        return now + (self.asked.ahead or timedelta())

    @property
    def is_converged(self) -> bool:
        """Return whether server and node agree, and everything runs."""
        return self.is_agreed and all(a.status is Status.RUNNING for a in self.held.values())


def step(state: DeviceState, event: Event, now: datetime) -> tuple[DeviceState, Actions]:
    """Let *event* happen; what has to be asked for next is among the actions."""
    actions: Actions
    match event:
        case Started():
            pending = tuple(a for a in state.held.values() if a.status is Status.PENDING)
            actions = (Apply(pending),) if pending else ()
        case Connected():
            state, actions = _connected(state, now)
        case Disconnected():
            state, actions = replace(state, is_connected=False, request=None), ()
        case MessageReceived():
            state, actions = _received(state, event, now)
        case TimerDue():
            state, actions = _timer_due(state, event.timer, now)
        case ApplyDone():
            state, actions = _applied(state, event.outcomes, now)
        case InstancesExited():
            state, actions = _exited(state, event, now)
        case UsageMeasured():
            state, actions = replace(state, usage=event.usage), ()
        case _:
            assert_never(event)
    state, request = _ask(state)
    asked, answers = state.asked.settled(state.held)
    actions += request + answers
    asked = asked.noting(actions, now)
    return (state if asked is state.asked else replace(state, asked=asked)), actions


def _connected(state: DeviceState, now: datetime) -> tuple[DeviceState, Actions]:
    state, report = _report(replace(state, is_connected=True), now)
    return state, report + _stats_timer(state)


def _stats_timer(state: DeviceState) -> Actions:
    seconds = state.intervals.stats_interval
    return (StartTimer(Timer.STATS, seconds),) if seconds > 0 else ()


def _report(state: DeviceState, now: datetime) -> tuple[DeviceState, Actions]:
    """Report everything, if connected."""
    if not state.is_connected:
        return state, ()
    state = replace(state, seq=state.seq + 1)
    held = state.held.values()
    fetches, offers = state.fetches, None
    if state.offers is not None:
        own = state.offers.own_fetches(fetches)
        fetches = tuple(fetch for fetch in fetches if fetch not in own)
        offers = state.offers.entries(state.server_time(now))
    content = report_content(state.facts, state.usage, held, fetches, now, state.properties)
    if offers is not None:
        content["offers"] = offers
    if state.sealing.newest is not None:
        content["encryptionKey"] = state.sealing.newest.proof
    interval = min(max(math.ceil(state.intervals.interval), 1), _LONGEST_INTERVAL)
    meta: dict[str, MetaValue] = {SEQUENCE: state.seq, RUN: state.run, INTERVAL: interval}
    message = NodeMessage(MessageKind.REPORT, content, meta)
    publish = Publish(Channel.REPORT, message, qos=1)
    return state, (
        publish,
        StartTimer(Timer.REPORT, state.intervals.interval),
        *_answer_timer(state),
    )


def _answer_timer(state: DeviceState) -> Actions:
    seconds = state.intervals.answer_timeout * 2**state.unanswered
    return (StartTimer(Timer.ANSWER, seconds),) if seconds < state.intervals.interval else ()


def _timer_due(state: DeviceState, timer: Timer, now: datetime) -> tuple[DeviceState, Actions]:
    if not state.is_connected:
        return state, ()
    match timer:
        case Timer.REPORT:
            return _report(state, now)
        case Timer.ANSWER if state.answered >= state.seq:
            return state, ()
        case Timer.ANSWER:
            return _report(replace(state, unanswered=state.unanswered + 1), now)
        case Timer.STATS:
            stats = NodeMessage(MessageKind.STATS, stats_content(state.usage))
            return state, (Publish(Channel.STATS, stats, qos=0), *_stats_timer(state))
        case Timer.REQUEST:
            return replace(state, request=None), ()
        case Timer.OFFER:
            return _follow(state, now)


def _ask(state: DeviceState) -> tuple[DeviceState, Actions]:
    """Send the next desire message, if there is no other under way."""
    if not state.is_connected or state.request is not None:
        return state, ()
    infos = next_infos(state.fetches, state.suspects)
    if not infos:
        return state, ()
    number = state.requests + 1
    request = Request(f"{state.run}-{number}", infos)
    content = {
        "infos": [{"kind": i.kind.value, "name": i.name, "version": i.version} for i in infos]
    }
    message = NodeMessage(MessageKind.DESIRE, content, {REQUEST_ID: request.id, SYNC: "true"})
    return replace(state, requests=number, request=request), (
        Publish(Channel.DESIRE, message, qos=1),
        StartTimer(Timer.REQUEST, state.intervals.request_timeout),
    )


def _received(
    state: DeviceState, event: MessageReceived, now: datetime
) -> tuple[DeviceState, Actions]:
    message = event.message
    state = replace(state, asked=state.asked.hearing(message, now))
    match event.channel, message.kind:
        case Channel.COMMAND, MessageKind.COMMAND:
            return _command(state, message, now)
        case Channel.COMMAND, MessageKind.ERROR:
            return _trouble(state, f"error: {_code(message)} {message.content}")
        case Channel.DELTA, MessageKind.REPORT:
            return _delta(state, message, now)
        case Channel.DELTA, MessageKind.ERROR:
            answers = sequence_of(message.meta.get(SEQUENCE))
            if answers == state.seq and message.meta.get(RUN, state.run) == state.run:
                state = replace(state, answered=answers, unanswered=0)
            return _trouble(state, f"error: {_code(message)} {message.content}")
        case Channel.DESIRE_RESPONSE, MessageKind.DESIRE:
            return _values(state, message, now)
        case Channel.DESIRE_RESPONSE, MessageKind.ERROR:
            return _refused(state, message)
        case _:
            return _trouble(state, f"odd kind {message.kind!r} on {event.channel}")


def _command(
    state: DeviceState, message: NodeMessage, now: datetime
) -> tuple[DeviceState, Actions]:
    """Do what is asked, once and in time, and answer."""
    command = read_command(message.content)
    if command is None:
        return _trouble(state, "the command cannot be read")
    if command.id in state.asked.taken:
        return state, ()
    state = replace(state, asked=state.asked.taking(command))
    if state.asked.is_late(command, now):
        return state, (LogLine(f"dropped the command {command.name}: it came too late"),)
    note = LogLine(f"asked to {' '.join(filter(None, (command.name, command.app)))}")
    if state.asked.refuses:
        return state, (note, answer(command.id, REFUSED, cause="commands are switched off here"))
    if command.app and command.app not in state.held:
        return state, (note, answer(command.id, FAILED, cause="there is no such app here"))
    actions: Actions
    match command.name:
        case "logs":
            actions = (answer(command.id, DONE, output=state.asked.log(command)),)
        case "report":
            state, report = _report(state, now)
            actions = (*report, answer(command.id, DONE))
        case "restart" if command.app:
            state, actions = _restart(state, command, now)
        case _:
            actions = (answer(command.id, REFUSED, cause="this node knows no such command"),)
    return state, (note, *actions)


def _restart(
    state: DeviceState, command: NodeCommand, now: datetime
) -> tuple[DeviceState, Actions]:
    """Start an app again; `Asked.settled` answers once it runs, or cannot."""
    state = replace(state, asked=state.asked.restarted(command))
    app = state.held[command.app]
    return _start_again(state, app, now) if app.status is Status.RUNNING else (state, ())


def _exited(
    state: DeviceState, event: InstancesExited, now: datetime
) -> tuple[DeviceState, Actions]:
    """Start an app again whose instances ended, and count that."""
    app = state.held.get(event.name)
    if app is None or app.version != event.version or app.status is not Status.RUNNING:
        return state, ()
    state, actions = _start_again(state, replace(app, restarts=app.restarts + 1), now)
    return state, (LogLine(f"restarting {app.name} version {app.version}: it exited"), *actions)


def _start_again(state: DeviceState, app: HeldApp, now: datetime) -> tuple[DeviceState, Actions]:
    app = replace(app, status=Status.PENDING, started=None)
    state, report = _report(replace(state, held={**state.held, app.name: app}), now)
    return state, (Save(tuple(state.held.values())), *report, Apply((app,)))


def _trouble(state: DeviceState, text: str) -> tuple[DeviceState, Actions]:
    return replace(state, errors=state.errors + 1), (LogLine(text, is_trouble=True),)


def _code(message: NodeMessage) -> str:
    return str(message.meta.get("code", ""))


def _delta(state: DeviceState, message: NodeMessage, now: datetime) -> tuple[DeviceState, Actions]:
    """Obey a delta; an answer is obeyed unless a later report has been answered already."""
    answers = sequence_of(message.meta.get(SEQUENCE))
    if answers is not None:
        if message.meta.get(RUN, state.run) != state.run or answers < state.answered:
            return state, ()
        state = replace(state, answered=answers, unanswered=0)
    wanted = wanted_apps(message.content, state.held)
    if wanted is None:
        return _trouble(state, "the delta cannot be read")
    properties = wanted_properties(message.content, state.properties)
    offers = state.offers
    if offers is not None:
        offers = offers.taking(message.content, wanted, state.server_time(now))
    is_new = properties != state.properties or offers is not state.offers
    state = replace(
        state,
        properties=properties,
        offers=offers,
        wanted=wanted,
        is_agreed=message.content == {} and answers in (None, state.seq),
    )
    return _follow(state, now, has_news=is_new)


def _follow(
    state: DeviceState, now: datetime, *, has_news: bool = False
) -> tuple[DeviceState, Actions]:
    """Go on towards the apps of the last delta; report at once what stops, or other news."""
    if state.wanted is None:
        return state, ()
    moment, offers = state.server_time(now), state.offers or Offers()
    wanted = offers.allowed(state.wanted, state.held, moment)
    names = {each.name for each in wanted}
    stopped = tuple(name for name in state.held if name not in names)
    taken = [offers.ready[each] for each in wanted if each in offers.ready]
    pending = [each for each in wanted if each not in offers.ready]
    fetches = fetches_for([*pending, *offers.to_fetch()], state.held, state.fetches)
    still = all_missing(fetches)
    useful = state.request is not None and not set(still).isdisjoint(state.request.infos)
    state = replace(
        state,
        held={name: app for name, app in state.held.items() if name in names},
        fetches=fetches,
        request=state.request if useful else None,
        suspects=state.suspects.intersection(still),
    )
    seconds = offers.seconds_to_opening(state.wanted or (), moment)
    timer: Actions = (StartTimer(Timer.OFFER, seconds),) if seconds is not None else ()
    if taken:
        state = replace(state, offers=offers.without_ready(wanted))
        state, actions = _hold(state, taken, now)
        return state, (*_stop_notes(stopped), *timer, *actions)
    if not stopped and not has_news:
        return state, timer
    state, report = _report(state, now)
    return state, (Save(tuple(state.held.values())), *_stop_notes(stopped), *timer, *report)


def _stop_notes(stopped: Iterable[str]) -> Actions:
    return tuple(LogLine(f"stopped {name}") for name in stopped)


def _values(state: DeviceState, message: NodeMessage, now: datetime) -> tuple[DeviceState, Actions]:
    request = state.request
    if request is None or message.meta.get(REQUEST_ID) != request.id:
        return state, ()
    values = message.content.get("values") if isinstance(message.content, dict) else None
    if not isinstance(values, list) or len(values) != len(request.infos):
        return _trouble(state, "the values cannot be read")
    fetches = state.fetches
    for info, entry in zip(request.infos, values, strict=True):
        fetches = absorb(fetches, info, entry.get("value") if isinstance(entry, dict) else None)
    moved_on = tuple(
        LogLine(
            f"forgot {fetch.wanted.name} version {fetch.wanted.version}: the server has moved on"
        )
        for fetch in state.fetches
        if fetch.wanted not in {each.wanted for each in fetches}
    )
    suspects = state.suspects.difference(request.infos)
    state = replace(state, fetches=fetches, request=None, suspects=suspects)
    state, actions = _take_over(state, now)
    return state, moved_on + actions


def _take_over(state: DeviceState, now: datetime) -> tuple[DeviceState, Actions]:
    """Hold what has arrived as a whole and start it, or keep it until it may be applied."""
    done = [fetch for fetch in state.fetches if fetch.is_complete]
    if not done:
        return state, ()
    state = replace(state, fetches=tuple(one for one in state.fetches if not one.is_complete))
    if state.offers is not None:
        early = state.offers.own_fetches(done)
        now_wanted = state.offers.allowed(state.wanted or (), state.held, state.server_time(now))
        early = tuple(fetch for fetch in early if fetch.wanted not in now_wanted)
        if early:
            offers = state.offers.with_ready(_app(state, fetch) for fetch in early)
            state = replace(state, offers=offers)
            done = [fetch for fetch in done if fetch not in early]
            if not done:
                return _report(state, now)
    return _hold(state, [_app(state, fetch) for fetch in done], now)


def _hold(
    state: DeviceState, taken: Sequence[HeldApp], now: datetime
) -> tuple[DeviceState, Actions]:
    state = replace(
        state,
        held={**state.held, **{app.name: app for app in taken}},
        is_agreed=False,
    )
    pending = tuple(app for app in taken if app.status is Status.PENDING)
    start: Actions = (Apply(pending),) if pending else ()
    state, report = _report(state, now)
    return state, (Save(tuple(state.held.values())), *map(_note_on, taken), *start, *report)


def _app(state: DeviceState, fetch: AppFetch) -> HeldApp:
    body = fetch.body or {}
    shut = partial(state.sealing.why_shut, state.node_id)
    cause = why_not_runnable(body, fetch.parts, shut)
    return HeldApp(
        fetch.wanted.name,
        fetch.wanted.version,
        body,
        fetch.parts,
        status=Status.FAILED if cause else Status.PENDING,
        cause=cause,
        is_system=fetch.wanted.is_system,
    )


def _note_on(app: HeldApp) -> LogLine:
    what = f"{app.name} version {app.version}"
    match app.status:
        case Status.PENDING:
            return LogLine(f"starting {what}")
        case Status.RUNNING:
            return LogLine(f"applied {what}")
        case Status.FAILED:
            return LogLine(f"failed to start {what}: {app.cause}", is_trouble=True)


def _applied(
    state: DeviceState, outcomes: tuple[StartResult, ...], now: datetime
) -> tuple[DeviceState, Actions]:
    changed = {}
    for outcome in outcomes:
        app = state.held.get(outcome.name)
        if app is None or app.version != outcome.version or app.status is not Status.PENDING:
            continue  # replaced or stopped in the meantime
        status = Status.FAILED if outcome.cause else Status.RUNNING
        started = None if outcome.cause else now
        changed[app.name] = replace(app, status=status, cause=outcome.cause, started=started)
    if not changed:
        return state, ()
    state, report = _report(replace(state, held={**state.held, **changed}), now)
    notes = tuple(_note_on(app) for app in changed.values())
    return state, (Save(tuple(state.held.values())), *notes, *report)


def _refused(state: DeviceState, message: NodeMessage) -> tuple[DeviceState, Actions]:
    """Ask for each body alone after a request failed; give up, until the next delta, on one."""
    state, actions = _trouble(state, f"desire refused: {_code(message)} {message.content}")
    request = state.request
    if request is None or message.meta.get(REQUEST_ID) != request.id:
        return state, actions
    if len(request.infos) > 1 and _code(message) == "ResourceNotFound":
        suspects = state.suspects.union(request.infos)
        return replace(state, request=None, suspects=suspects), actions
    fetches = fail(state.fetches, request.infos, f"{_code(message)}: {message.content}")
    return replace(state, request=None, fetches=fetches), actions
