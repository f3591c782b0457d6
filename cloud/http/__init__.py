"""What both HTTP servers share: request ids, bodies in, answers and errors out.

`app` builds a server from its routes, `requests` reads what came in, `answers` writes what goes
out, `errors` is the only place where an error class meets a status code.
"""
