"""A process that writes until it is killed; prints the number of each node that is committed."""

import asyncio
import itertools
import sys
from pathlib import Path

from tests.builders import open_store
from tests.store.conftest import node


async def main(directory: Path) -> None:
    async with open_store(directory) as store:
        for number in itertools.count():
            await store.write(lambda tx, name=f"n{number}": tx.put_node(node(name)))  # type: ignore[misc]
            sys.stdout.write(f"{number}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
