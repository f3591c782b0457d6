"""Play the server to a device under test, and say what it did wrong (docs/protocol.md).

`checks` has every rule that is looked at, `server` the ports that the device talks to, `played`
what the server wants and what the device said, `scenario` the steps, `command` the command line.
"""
