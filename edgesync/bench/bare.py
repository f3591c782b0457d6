"""A listener that does nothing but TLS: the cost of connections alone.

It asks each for a certificate, as the hub does. Prints its port, and ends with its input.
"""

import asyncio
import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import click
import uvloop

from certs.files import load_or_create_authority
from certs.tls import node_listener_context


async def listen(authority: Path) -> None:
    """Take connections until there is no more input; *authority* is a server's directory `ca`."""
    trusted = load_or_create_authority(authority, now=datetime.now(UTC)).trusted_pem
    tls = node_listener_context(authority / "server.pem", authority / "server.key", trusted)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0, ssl=tls, backlog=1024)
    async with server:
        click.echo(json.dumps({"port": server.sockets[0].getsockname()[1]}))
        await asyncio.to_thread(sys.stdin.readline)


@click.command()
@click.option("--authority", type=click.Path(path_type=Path), required=True)
def main(authority: Path) -> None:
    """Listen on a free port."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(listen(authority))


if __name__ == "__main__":
    main()
