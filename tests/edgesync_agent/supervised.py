"""An agent without a connection, in a process of its own that tests kill: KIND FOLDER HOME."""

import sys
import time
from pathlib import Path

from tests.edgesync_agent.engines import RunningEngine
from tests.edgesync_agent.test_supervisor import supervisor_of

if __name__ == "__main__":
    kind, folder, home = sys.argv[1:]
    running = RunningEngine(kind, Path(folder), Path())
    supervisor_of(running, Path(home), lambda line: None).start()
    time.sleep(60)  # killed long before
