"""Common parts of the HTTP servers: request ids, bodies in, answers and errors out.

`app` builds a server from its routes, `requests` reads what came in, `peer` who sent it by its
certificate, `answers` writes what goes out, `errors` is the only place where an error class meets
a status code.
"""
