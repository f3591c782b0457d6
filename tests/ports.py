"""Ports for servers that a test starts again on the same port."""

from broker.ports import free_port

__all__ = ["free_port"]
