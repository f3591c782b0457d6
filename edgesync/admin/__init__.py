"""Commands for the administrator of a server.

Its process, keys, token, authority, backups, upgrades, audit log, and imports.
"""
