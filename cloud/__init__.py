"""The server.

Read `core` first (nouns and rules, pure), then `operations` (the calls of people and nodes),
`store` (persistence), `rest` and `link` (the APIs for people and for nodes), and `app`, which
opens and connects all of them.
"""
