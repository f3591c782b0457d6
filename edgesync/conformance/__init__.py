"""A server for a device under test that reports what the device does wrong (docs/protocol.md).

`checks` has every rule that is looked at, `server` the ports that the device talks to, `played`
what the server wants and what the device sent, `scenario` the steps, `command` the command line.
"""
