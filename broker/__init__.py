"""MQTT, usable without the cloud.

Read `topics` (the topics), `messages` (their content), `access` (the access rules), then `hub`
(MQTT as a server uses it) and `embedded` (the hub in this process, on amqtt), whose docstring lists
its modules; `client` is the hub on an external broker, `managed` a Mosquitto as a child process.
`stock` is plain amqtt, for the benchmark.
"""
