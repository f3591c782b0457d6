"""The server.

Read `core` first (what things are and what follows from them, pure), then `operations` (what a
person or a node can do), `store` (where it is kept), `rest` and `link` (how people and nodes
reach it), and `app`, which wires it all together.
"""
