"""Answers: rules of notifications."""

from cloud.answers.common import Answer
from cloud.core.notification_rule import Severity, Threshold


class NotificationRuleSummary(Answer):
    """A rule of notifications in a list, which is all of it."""

    name: str
    namespace: str
    channels: tuple[str, ...]
    events: tuple[str, ...]
    description: str
    selector: str
    severity: Severity
    threshold: Threshold
    gather_seconds: int
    quiet_minutes: int
    paused: bool
    version: str
    create_time: str
    update_time: str
