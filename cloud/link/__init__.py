"""How nodes reach the server: activation over HTTPS (`http`), messages over MQTT (`inbox`) and over
HTTPS (`sync`), certificates (`renewal`, `est`). `exchange` carries out what they ask for.
"""
