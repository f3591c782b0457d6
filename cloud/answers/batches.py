"""Answers: batches."""

from cloud.answers.common import Answer
from cloud.core.batch import Fingerprint, SecurityType
from cloud.core.refused_device import RefusalReason


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


class RefusedDeviceAnswer(Answer):
    """A device that the batch refused: the failed check, and what to do to have it admitted.

    `reason` is a code for programs, `message` and `remedy` are for people.
    """

    fingerprint_value: str
    reason: RefusalReason
    message: str
    remedy: str
    address: str
    count: int
    first_time: str
    last_time: str


class RefusedDevicesAnswer(Answer):
    """Devices that the batch refused and that were not activated since, refused last first."""

    total: int
    items: list[RefusedDeviceAnswer]
