"""Signing in, in a browser and on the command line.

`routes` and `token_routes` have the calls below `/login`. `service` signs users of identity
providers in (OpenID Connect), `local` those of this server with `passwords`, and `command_line`
logs the command line in once a user has approved it.
"""
