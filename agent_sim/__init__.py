"""Simulated nodes, independent of the server: they implement the wire of docs/protocol.md only.

Read `device` first: the whole behaviour of one node, without I/O; `events`, `model`, `bodies`,
`fetching` and `reporting` are its vocabulary and as pure as it is. Then `agent`: the sockets, files
and timers of one node, on `activation`, `renewal`, `link` and `state`. Then `fleet`: many agents at
once. `facts` and `fingerprint` describe a node, `faults` how
some misbehave, `command` is `edgesync sim`.
"""
