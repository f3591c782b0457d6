"""Commands for the administrator of a server: its process, keys, backups, audit log, imports."""
