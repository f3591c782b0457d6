"""Callers of servers that have no TLS."""

import ssl

NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For `verify` of httpx: by default it loads the certificates that this machine trusts, which takes
30 ms of CPU for each client."""
