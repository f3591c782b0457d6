"""Everything MQTT, usable without the cloud.

Read `topics` (which topics exist), `messages` (what travels on them), `access` (who may use which),
then `hub` (what the server sees of MQTT) and `embedded` (that hub on amqtt, in this process), whose
docstring describes the other modules. `stock` is plain amqtt, for comparing alone.
"""
