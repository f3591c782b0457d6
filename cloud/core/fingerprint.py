"""Which properties of a device make its fingerprint, and when two are the same."""

import hmac
from enum import IntFlag


class FingerprintType(IntFlag):
    """Properties a fingerprint is made of (contract, "Create Product"); they can be combined."""

    SN = 1
    INPUT = 2
    HOSTNAME = 4
    BOOTID = 8
    SYSTEMUUID = 16
    MACHINEID = 32


ALL_TYPES = 63


def normalised(fingerprint: str) -> str:
    """The form in which fingerprints are compared: no white space around it, lower case."""
    return fingerprint.strip().lower()


def is_same(one: str, other: str) -> bool:
    """Return whether two fingerprints are one device's, in constant time."""
    return hmac.compare_digest(normalised(one).encode(), normalised(other).encode())
