"""A kind that only these tests have: a site, where nodes stand.

It is all that a kind without rules of its own needs; `python -m tests.kinds.site` is the command
`edgesync` that knows it.
"""
