"""Answers: batches."""

from cloud.answers.common import Answer
from cloud.core.batch import Fingerprint, SecurityType


class BatchSummary(Answer):
    """A batch in a list: without its token."""

    name: str
    namespace: str
    quota_num: int
    security_type: SecurityType
    callback_name: str
    description: str
    create_time: str
    update_time: str


class BatchAnswer(BatchSummary):
    """A batch, its token too; `warning` states why no new device can activate, empty if one can."""

    enable_whitelist: int
    security_key: str
    labels: dict[str, str]
    fingerprint: Fingerprint
    warning: str
