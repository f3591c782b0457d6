"""Background jobs: each is a class whose `run` works until it is cancelled.

`cloud.app.serve` starts all of them side by side. A job that cannot reach the database logs it and
tries again; any other exception ends the server.
"""
