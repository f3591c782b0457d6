"""Operations: one function for each thing that people and nodes do: `(tx, ..., *, now) -> value`.

Each is one transaction, checks before it writes, and can be repeated without harm.
"""
