"""How nodes reach the server: activation over HTTPS (`http`), messages over MQTT (`inbox`), and
the other way, what they have to be told (`pusher`).
"""
