"""Simulated nodes: they know the wire of docs/protocol.md and nothing of the server.

Read `device` (the whole behaviour of one node, without I/O), then `agent` (its sockets, files and
timers) and `fleet` (many agents at once).
"""
