"""The node agent: what a machine runs that was brought in by an installation command.

It needs Python 3.8 and nothing else, imports nothing of the server, and is put on machines by
`install.sh` as one file, a zip that Python runs (`cloud.link.installer`). Read `node` (what it
does), `mqtt` and `link` (how it speaks), then `agent` and `__main__`.

It runs apps as containers of Docker or Podman, or as host processes (`supervisor`), and states how
they do; where neither engine is there, apps stay Pending with that cause. It
renews its certificate by itself, also a while after that has ended.
"""

VERSION = "edgesync-agent 2"
