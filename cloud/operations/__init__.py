"""One plain function per thing a person or a node can do: `(tx, ..., *, now) -> value`.

Each is one transaction, checks before it writes, and can be repeated without harm.
"""
