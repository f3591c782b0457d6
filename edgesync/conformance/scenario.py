"""The steps a device is led through, in order; each records its findings and raises none."""

import base64
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from broker.messages import Message, NodeMessageKind
from broker.topics import Channel
from cloud.core.times import time_text
from cloud.link.wire import error_message
from edgesync.conformance.checks import Findings
from edgesync.conformance.played import Played, PlayedMessage, now, older_answer

APP, CONFIG, SECRET = "conformance-app", "conformance-conf", "conformance-secret"
SETTLE_SECONDS = 2.0
"""How long something that should not happen is waited for."""

AGAIN_EARLIEST, AGAIN_LATEST = 4.5, 12.0
"""Seconds until a report that was not answered is sent again: 5 to 7.5, and room for the way."""

QUIET_SECONDS, QUIET_REPORTS = 6.0, 3
SHORTEST_PAUSE = 0.4
"""Seconds before a device connects again: half of the first pause, and room for clocks."""


@dataclass(slots=True)
class Scenario:
    """Leads the device behind *played*; it gets *patience* seconds for each thing."""

    played: Played
    findings: Findings
    patience: float
    _asked_for: int = 0  # reports that were asked for by command

    async def run(self) -> None:
        """All steps; those after the first ones are left out where the device never reports."""
        first = await self.played.next_report(self.patience, since=0)
        if first is None:
            self.findings.failed("report", f"no report within {self.patience:g} s")
            return
        self.findings.passed("connects")
        if not await self._applies("1", "applies"):
            return
        await self._unknown_keys()
        await self._moved_on()
        await self._offers()
        await self._old_answer()
        await self._error()
        await self._again()
        await self._properties()
        await self._commands()
        await self._quiet()
        await self._returns()
        await self._removes()

    def _want(self, version: str, body_version: str | None = None) -> None:
        """Want the app at *version*, its body being there at *body_version*."""
        wanted = self.played.wanted
        wanted.apps = {APP: version}
        body = body_version or version
        wanted.bodies = {
            ("application", APP): _app_body(body),
            ("configuration", CONFIG): _config_body(body),
            ("secret", SECRET): _secret_body(body),
        }

    async def _applies(self, version: str, rule: str) -> bool:
        """Have the app at *version* taken over; *rule* is the one that it proves."""
        start = len(self.played.messages)
        self._want(version)
        self.played.push_delta()
        reported = await self.played.until(lambda: self._reported(start, version), self.patience)
        if not reported:
            last = self.played.last_report()
            apps = last.apps if last else {}
            detail = f"{APP} {version} is not reported within {self.patience:g} s; it has {apps}"
            self.findings.failed(rule, detail)
            return False
        asked = self._asked(start)
        for kind, name in (("application", APP), ("configuration", CONFIG), ("secret", SECRET)):
            if (kind, name, version) not in asked:
                self.findings.failed("infos", f"{kind} {name} {version} was not asked for")
        self.findings.passed("infos")
        self.findings.passed(rule)
        return True

    def _reported(self, start: int, version: str) -> bool:
        return any(one.apps == {APP: version} for one in self.played.reports_since(start))

    def _asked(self, start: int) -> set[tuple[str, str, str]]:
        words = {"app": "application", "config": "configuration"}
        return {
            (words.get(kind := str(info.get("kind")), kind), str(info.get("name")),
             str(info.get("version")))
            for one in self.played.messages[start:]
            if one.channel is Channel.DESIRE
            for info in one.content.get("infos") or ()
        }  # fmt: skip

    async def _unknown_keys(self) -> None:
        self.played.wanted.extra = {"x-conformance": "ignore me"}
        await self._applies("2", "unknown")

    async def _moved_on(self) -> None:
        start = len(self.played.messages)
        self._want("3", body_version="4")
        self.played.push_delta()
        asked = await self.played.until(lambda: bool(self._asked(start)), self.patience)
        if not asked:
            self.findings.failed("moved-on", "it did not ask for version 3")
            return
        await self.played.until(lambda: self._took_over(start), SETTLE_SECONDS)
        if self._took_over(start):
            self.findings.failed("moved-on", "it reports an app whose body had another version")
            return
        await self._applies("4", "moved-on")

    def _took_over(self, start: int) -> bool:
        reports = self.played.reports_since(start)
        return any(one.apps.get(APP) in {"3", "4"} for one in reports)

    async def _offers(self) -> None:
        """Offer a version for later; a device that knows offers has to name it in its reports."""
        wanted, start = self.played.wanted, len(self.played.messages)
        apps, bodies = wanted.apps, wanted.bodies
        self._want("5")
        wanted.apps = apps
        wanted.offers = [{"name": APP, "version": "5", "notBefore": "2100-01-01T00:00:00Z"}]
        self.played.push_delta()
        await self._next_report()
        await self.played.until(lambda: self._runs(start, "5"), SETTLE_SECONDS)
        after = self.played.last_report()
        named = after.content.get("offers") if after else None
        if self._runs(start, "5"):
            self.findings.failed("offers", f"it reports {APP} 5, which was only offered")
        elif named is not None and not any(one.get("version") == "5" for one in named):
            self.findings.failed("offers", f"its offers do not name {APP} 5: {named}")
        self.findings.passed("offers")
        wanted.offers, wanted.bodies = [], bodies
        self.played.push_delta()

    def _runs(self, start: int, version: str) -> bool:
        return any(one.apps.get(APP) == version for one in self.played.reports_since(start))

    async def _old_answer(self) -> None:
        report = self.played.last_report()
        if report is None:
            return
        self.played.send(Channel.DELTA, older_answer(report))
        after = await self._next_report()
        if after is None:
            self.findings.failed("old-answer", "no report came afterwards")
        elif APP not in after.apps:
            self.findings.failed("old-answer", "it stopped the app that the old answer left out")
        else:
            self.findings.passed("old-answer")

    async def _error(self) -> None:
        self.played.answers_reports = False
        report = await self._next_report()
        if report is not None:
            text = "The server failed."
            error = error_message("UnknownError", text, now(), meta=report.message.meta)
            self.played.send(Channel.DELTA, error)
        self.played.answers_reports = True
        after = await self._next_report()
        if report is None or after is None:
            self.findings.failed("error", f"no report within {self.patience:g} s after an error")
        else:
            self.findings.passed("error")

    async def _again(self) -> None:
        self.played.answers_reports = False
        report = await self._next_report()
        again = await self.played.next_report(AGAIN_LATEST) if report else None
        self.played.answers_reports = True
        if report is None or again is None:
            self.findings.failed("again", f"no report within {AGAIN_LATEST:g} s after it")
            return
        pause = again.at - report.at
        if pause < AGAIN_EARLIEST:
            self.findings.failed("again", f"after {pause:.1f} s, sooner than 5 s")
        else:
            self.findings.passed("again")
        await self._next_report()

    async def _next_report(self) -> PlayedMessage | None:
        """The next report; a device that takes commands is asked for it, so it comes at once."""
        start = len(self.played.messages)
        self._asked_for += 1
        self._command(f"now-{self._asked_for}", "report")
        return await self.played.next_report(self.patience, since=start)

    async def _properties(self) -> None:
        start = len(self.played.messages)
        self.played.wanted.properties = {"conformance": "on"}
        self.played.push_delta()

        def taken() -> bool:
            reports = self.played.reports_since(start)
            return any(
                (one.content.get("nodeprops") or {}).get("conformance") == "on" for one in reports
            )

        if await self.played.until(taken, self.patience):
            self.findings.passed("properties")
        else:
            self.findings.failed("properties", "nodeprops of its reports do not have them")
            self.played.wanted.properties = {}

    async def _commands(self) -> None:
        start = len(self.played.messages)
        if not self._command("a", "report"):
            for rule in ("command-report", "command-unknown", "command-late", "command-twice"):
                self.findings.not_tried(rule, "the device does not subscribe to command")
            return
        await self.played.until(lambda: "a" in self._answers(start), self.patience)
        answer = self._answers(start).get("a", [])
        if answer != ["done"] or not self.played.reports_since(start):
            self.findings.failed("command-report", f"its answers: {answer}; a report has to come")
        self.findings.passed("command-report")
        self._command("b", "conformance-unknown")
        await self.played.until(lambda: "b" in self._answers(start), self.patience)
        answer = self._answers(start).get("b", [])
        if answer != ["refused"]:
            self.findings.failed("command-unknown", f"its answers: {answer}, not refused")
        self.findings.passed("command-unknown")
        self._command("c", "report", seconds=-60)
        self._command("a", "report")
        await self.played.until(lambda: len(self._answers(start).get("a", [])) > 1, SETTLE_SECONDS)
        if "c" in self._answers(start):
            self.findings.failed("command-late", "it answered")
        self.findings.passed("command-late")
        if len(self._answers(start).get("a", [])) != 1:
            self.findings.failed("command-twice", "it answered the same id again")
        self.findings.passed("command-twice")

    def _command(self, identity: str, command: str, seconds: int = 30) -> bool:
        deadline = time_text(now() + timedelta(seconds=seconds))
        content = {"id": identity, "command": command, "seconds": max(seconds, 1)}
        meta = {"time": time_text(now())}
        message = Message(NodeMessageKind.COMMAND.value, {**content, "deadline": deadline}, meta)
        return self.played.send(Channel.COMMAND, message)

    def _answers(self, start: int) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for one in self.played.messages[start:]:
            if one.channel is Channel.COMMAND_RESPONSE:
                status = str(one.content.get("status"))
                found.setdefault(str(one.content.get("id")), []).append(status)
        return found

    async def _quiet(self) -> None:
        start = len(self.played.messages)
        await self.played.until(lambda: self._reports(start) > QUIET_REPORTS, QUIET_SECONDS)
        if (count := self._reports(start)) > QUIET_REPORTS:
            self.findings.failed("quiet", f"{count} reports within {QUIET_SECONDS:g} s")
        else:
            self.findings.passed("quiet")

    def _reports(self, start: int) -> int:
        return len(self.played.reports_since(start))

    async def _returns(self) -> None:
        ended = time.monotonic()
        self.played.hub.disconnect(self.played.node_id)
        report: PlayedMessage | None = await self.played.next_report(self.patience)
        if report is None:
            self.findings.failed("returns", f"no report within {self.patience:g} s")
        elif report.at - ended < SHORTEST_PAUSE:
            self.findings.failed("returns", f"after {report.at - ended:.2f} s, without a pause")
        elif report.apps != self.played.wanted.apps:
            self.findings.failed("returns", f"it forgot what it had taken over: {report.apps}")
        else:
            self.findings.passed("returns")

    async def _removes(self) -> None:
        start = len(self.played.messages)
        self.played.wanted.apps = {}
        self.played.push_delta()
        gone = await self.played.until(
            lambda: any(not one.apps for one in self.played.reports_since(start)), self.patience
        )
        if gone:
            self.findings.passed("removes")
        else:
            self.findings.failed("removes", f"it is still reported after {self.patience:g} s")


def _app_body(version: str) -> dict[str, Any]:
    mounts = [
        {"name": "conf", "mountPath": "/etc/conformance", "readOnly": True},
        {"name": "secret", "mountPath": "/run/secrets/conformance", "readOnly": True},
    ]
    service = {"name": "app", "image": "conformance:1", "replica": 1, "volumeMounts": mounts}
    return {
        **_head(APP, version),
        "type": "container",
        "services": [service],
        "volumes": [
            {"name": "conf", "config": {"name": CONFIG, "version": version}},
            {"name": "secret", "secret": {"name": SECRET, "version": version}},
        ],
        "x-conformance": {"ignored": [1, 2.5, None, True]},
    }


def _config_body(version: str) -> dict[str, Any]:
    data = {"conformance.txt": f"version {version}\nümlaut\n"}
    return {**_head(CONFIG, version), "labels": {}, "data": data}


def _secret_body(version: str) -> dict[str, Any]:
    data = {"value": base64.b64encode(f"secret {version}".encode()).decode()}
    return {**_head(SECRET, version), "labels": {"secret-type": "config"}, "data": data}


def _head(name: str, version: str) -> dict[str, Any]:
    return {"name": name, "namespace": "default", "version": version}
