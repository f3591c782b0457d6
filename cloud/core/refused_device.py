"""A device that a batch refused: the failed check, and what an operator can do about it."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

import msgspec

KEPT_OF_REASON = 100
"""Refused devices of a batch with the same reason that are kept: those refused last."""


class RefusalReason(StrEnum):
    """The check of an activation that failed."""

    NOT_ON_WHITELIST = "NotOnWhitelist"
    QUOTA_REACHED = "QuotaReached"
    OTHER_KEY = "OtherKey"
    NAME_TAKEN = "NameTaken"
    UNPROVEN = "WrongToken"

    @property
    def cause(self) -> str:
        """What is wrong, in words."""
        return _WORDS[self][0]

    @property
    def remedy(self) -> str:
        """What an operator can do to have the device admitted."""
        return _WORDS[self][1]


_WORDS: Mapping[RefusalReason, tuple[str, str]] = {
    RefusalReason.NOT_ON_WHITELIST: (
        "it is not on the whitelist",
        "add a record for it, or set enableWhitelist to 0",
    ),
    RefusalReason.QUOTA_REACHED: ("the batch has reached its quota", "raise quotaNum"),
    RefusalReason.OTHER_KEY: (
        "its record has been activated with another key",
        "reset the record if this device replaces that one or lost its key",
    ),
    RefusalReason.NAME_TAKEN: (
        "its node name belongs to another device or node",
        "add a record for it with another nodeName, or delete that node",
    ),
    RefusalReason.UNPROVEN: (
        "its security type or token is not that of the batch",
        "give the device the batch's securityType and securityKey",
    ),
}


class RefusedDevice(msgspec.Struct, frozen=True):
    """A device, by its *fingerprint*, that *batch* refused *count* times for the same reason."""

    namespace: str
    batch: str
    fingerprint: str
    reason: RefusalReason
    address: str
    count: int
    first: datetime
    last: datetime
