"""Answers: records of a batch."""

from cloud.answers.common import Answer


class RecordAnswer(Answer):
    """A record of a batch; `active` is 1 once its device has been given a certificate."""

    name: str
    namespace: str
    batch_name: str
    fingerprint_value: str
    active: int
    node_name: str
    active_ip: str
    create_time: str
    update_time: str


class FingerprintsAnswer(Answer):
    """Fingerprints of the records that were made."""

    total: int
    items: list[str]
