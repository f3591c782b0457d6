"""The errors of the agent."""

from __future__ import annotations


class AgentError(Exception):
    """An error with a message for the person at the machine."""


class HubConnectionLost(Exception):
    """The connection is gone or useless; another one may do."""
