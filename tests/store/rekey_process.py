"""A re-keying that dies at one point: `python -m tests.store.rekey_process DIRECTORY URL POINT`."""

import os
import sys
from pathlib import Path

from cloud.opening import database_of
from cloud.store.rekeying import rekey


def main(directory: Path, url: str, point: str) -> None:
    def reached(now_at: str) -> None:
        if now_at == point:
            os._exit(9)

    rekey(database_of(directory, url), directory / "secrets.key", reached=reached)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
