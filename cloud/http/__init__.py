"""Common parts of the HTTP servers: request ids, bodies in, answers and errors out.

`app` builds a server from its routes, `requests` reads requests, `peer` their client certificates,
`answers` writes responses, and `errors` alone maps error classes to status codes.
"""
