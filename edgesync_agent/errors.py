"""What can go wrong."""

from __future__ import annotations


class Trouble(Exception):
    """What went wrong, in words for the person at the machine."""


class Lost(Exception):
    """The connection is gone or useless; another one may do."""
