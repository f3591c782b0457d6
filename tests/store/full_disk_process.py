"""A process whose disk is full for a while: no file may grow beyond the limit it sets itself."""

import asyncio
import resource
import signal
import sys
from pathlib import Path

from cloud.core.config import Config
from cloud.errors import Unavailable
from tests.builders import open_store
from tests.store.conftest import config


async def main(directory: Path) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    async with open_store(directory) as store:
        await store.write(lambda tx: tx.put_resource(config("before")))
        _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (256 * 1024, most))
        for _ in range(2):
            try:
                await store.write(lambda tx: tx.put_resource(config("large", "x" * 1_000_000)))
            except Unavailable:
                sys.stdout.write("unavailable\n")
        there = await store.read(lambda tx: [one.name for one in tx.resources(Config, "default")])
        sys.stdout.write(f"{there}\n")
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        await store.write(lambda tx: tx.put_resource(config("large", "x" * 1_000_000)))
    async with open_store(directory) as store:
        there = await store.read(lambda tx: [one.name for one in tx.resources(Config, "default")])
        sys.stdout.write(f"{there}\n")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
