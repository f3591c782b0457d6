"""Commands to a node and its responses (docs/protocol.md, "Commands"); pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from agent_sim.events import Actions, LogLine, Publish
from agent_sim.model import HeldApp, Status, time_text
from agent_sim.wire import MessageKind, NodeMessage
from broker.topics import Channel

LINES_KEPT = 200
"""Lines of its own log that a node still knows."""

IDS_KEPT = 64
"""Commands that a node knows again."""

DONE, FAILED, REFUSED = "done", "failed", "refused"


@dataclass(frozen=True, slots=True)
class NodeCommand:
    """One command, as it came."""

    id: str
    name: str
    app: str = ""
    lines: int = LINES_KEPT
    deadline: datetime | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """All that a node remembers because it may be asked."""

    # Commands are disabled on this machine.
    refuses: bool = False
    # Ids of the last commands.
    taken: tuple[str, ...] = ()
    # The end of the node's own log.
    lines: tuple[str, ...] = ()
    # Apps that are being restarted, by the id of the command.
    restarting: Mapping[str, str] = field(default_factory=dict)
    # The server's clock minus the node's own; None until known.
    ahead: timedelta | None = None

    def hearing(self, message: NodeMessage, now: datetime) -> "Asked":
        """With the server's clock, from the time in *message*; a command may arrive late."""
        server_time = _moment(message.meta.get("time"))
        if server_time is None or message.kind == MessageKind.COMMAND:
            return self
        return replace(self, ahead=server_time - now)

    def noting(self, actions: Actions, now: datetime) -> "Asked":
        """With the lines that *actions* write to the log appended to it."""
        notes = [f"{time_text(now)} {one.text}" for one in actions if isinstance(one, LogLine)]
        return replace(self, lines=(*self.lines, *notes)[-LINES_KEPT:]) if notes else self

    def taking(self, command: NodeCommand) -> "Asked":
        """With the *command* as one that is known."""
        return replace(self, taken=(*self.taken, command.id)[-IDS_KEPT:])

    def restarted(self, command: NodeCommand) -> "Asked":
        """With the app of *command* on its way."""
        return replace(self, restarting={**self.restarting, command.id: command.app})

    def is_late(self, command: NodeCommand, now: datetime) -> bool:
        """Return whether the *command* has expired."""
        if command.deadline is None or self.ahead is None:
            return False
        return now + self.ahead >= command.deadline

    def settled(self, held: Mapping[str, HeldApp]) -> tuple["Asked", Actions]:
        """Answer the restarts that have come to an end with the apps *held* now."""
        answers, still = [], {}
        for own_id, name in self.restarting.items():
            app = held.get(name)
            if app is None:
                answers.append(answer(own_id, FAILED, cause="the app is not wanted any more"))
            elif app.status is Status.PENDING:
                still[own_id] = name
            elif app.status is Status.FAILED:
                answers.append(answer(own_id, FAILED, cause=app.cause))
            else:
                answers.append(answer(own_id, DONE))
        return (replace(self, restarting=still), tuple(answers)) if answers else (self, ())

    def log(self, command: NodeCommand) -> str:
        """The end of the log as *command* asks for it; for an app only lines about it."""
        about = f" {command.app} "
        found = [line for line in self.lines if not command.app or about in f"{line} "]
        return "".join(f"{line}\n" for line in found[-command.lines :])


def read_command(content: Any) -> NodeCommand | None:
    """The command in a message; None if it cannot be read."""
    match content:
        case {"id": str(own_id), "command": str(name)}:
            app, lines = content.get("app", ""), content.get("lines", LINES_KEPT)
            if not isinstance(app, str) or type(lines) is not int or lines < 1:
                return None
            return NodeCommand(own_id, name, app, lines, _moment(content.get("deadline")))
        case _:
            return None


def answer(own_id: str, status: str, *, output: str = "", cause: str = "") -> Publish:
    """The response with the outcome of a command."""
    content = {"id": own_id, "status": status, "output": output, "cause": cause}
    return Publish(Channel.COMMAND_RESPONSE, NodeMessage(MessageKind.COMMAND, content), qos=1)


def _moment(text: Any) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return moment if moment.tzinfo else None
