"""`edgesync demo`: a server and a fleet on this machine, and a change that reaches every node.

Everything goes the way an operator and a device would go: the server is a process of its own, the
simulated nodes another, and this machine a node by the install line, with its apps in real
containers where there is an engine. `api` asks the server, `processes` starts and ends what runs,
`machine` makes this machine a node, `screen` shows the fleet, `command` is the command line.
"""
