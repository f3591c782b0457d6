"""The rules that are checked, and the result of each."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum


class CheckResult(StrEnum):
    """The result of one rule."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_TRIED = "not tried"


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule; *section* is its heading in docs/protocol.md."""

    name: str
    section: str
    text: str


RULES = tuple(
    Rule(name, section, text)
    for name, section, text in (
        ("impostor", "activation", "sends nothing to a server whose certificate it cannot trust"),
        ("activation", "activation", "activates with a well-formed request"),
        ("own-key", "activation", "sends a signing request: its private key stays with it"),
        ("connects", "connection", "connects with its certificate and its node id as client id"),
        ("subscribes", "connection", "subscribes to delta and desire-response before it reports"),
        ("envelope", "envelope", "sends messages that are well formed, each kind on its topic"),
        ("report", "report", "reports with a content that the server can read"),
        ("sequence", "report", "counts seq up by one with each report of a run"),
        ("applies", "delta", "fetches the bodies of a new app and reports it at its version"),
        ("app-status", "report", "reports the state of each of its apps in appstats"),
        ("infos", "desire", "asks for the versions it was given, and only for what the app names"),
        ("unknown", "envelope", "ignores keys that it does not know"),
        ("moved-on", "desire", "takes nothing over where a body has another version than asked"),
        ("offers", "offers", "runs no version that is only offered"),
        ("old-answer", "delta", "ignores an answer with a lower seq than one it had"),
        ("error", "errors", "goes on after an error"),
        ("again", "report", "reports again, 5 to 7.5 s after a report that was not answered"),
        ("properties", "delta", "takes over wanted properties and reports them"),
        ("removes", "delta", "lets go of an app that is not wanted"),
        ("quiet", "report", "reports no more often than its interval when nothing changes"),
        ("returns", "connection", "waits, connects again and reports when the connection is lost"),
        ("command-report", "commands", "reports when it is asked to"),
        ("command-unknown", "commands", "refuses a command that it does not know"),
        ("command-late", "commands", "drops a command whose deadline is over"),
        ("command-twice", "commands", "carries out a command once, however often it comes"),
    )
)
BY_NAME = {rule.name: rule for rule in RULES}


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of *rule*; *detail* is what the device did."""

    rule: Rule
    result: CheckResult
    detail: str = ""


@dataclass(slots=True)
class Findings:
    """One finding for each rule: a failure stays, whatever passes later."""

    _found: dict[str, Finding] = field(default_factory=dict)

    def passed(self, name: str) -> None:
        """The device kept the rule."""
        self._found.setdefault(name, Finding(BY_NAME[name], CheckResult.PASSED))

    def failed(self, name: str, detail: str) -> None:
        """The device broke the rule; the first *detail* is kept."""
        if self.result(name) is not CheckResult.FAILED:
            self._found[name] = Finding(BY_NAME[name], CheckResult.FAILED, detail)

    def not_tried(self, name: str, detail: str) -> None:
        """The rule was not looked at."""
        self._found.setdefault(name, Finding(BY_NAME[name], CheckResult.NOT_TRIED, detail))

    def result(self, name: str) -> CheckResult:
        """The result of the rule *name* so far."""
        found = self._found.get(name)
        return found.result if found else CheckResult.NOT_TRIED

    def __iter__(self) -> Iterator[Finding]:
        for rule in RULES:
            yield self._found.get(rule.name) or Finding(rule, CheckResult.NOT_TRIED, "not reached")

    @property
    def has_failed(self) -> bool:
        """Return whether any rule was broken."""
        return any(finding.result is CheckResult.FAILED for finding in self)
