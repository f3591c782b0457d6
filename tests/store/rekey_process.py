"""A re-keying that dies at one point: `python rekey_process.py DIRECTORY POINT`."""

import os
import sys
from pathlib import Path

from cloud.store.rekeying import rekey


def main(directory: Path, point: str) -> None:
    def reached(now_at: str) -> None:
        if now_at == point:
            os._exit(9)

    rekey(directory / "edgesync.db", directory / "secrets.key", reached=reached)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
