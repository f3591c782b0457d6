"""Persistence, the same on SQLite and PostgreSQL.

Read `transaction` (a `Store` runs work in transactions) and a module of `parts` (for each noun: its
statements, its rows and the verbs of a transaction), `statements` (a text for each database, and
the tables it touches), then `tables` with `migrations`, and `threads` with `sqlite` or `postgres`;
`sealing` encrypts secrets.
"""
