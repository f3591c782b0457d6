"""What `tests.preloaded` does where the process that forks is killed."""

import contextlib
import signal
import time
from pathlib import Path

import psutil
import pytest

from tests.deadlines import UNIT
from tests.preloaded import ForkedProcess, ForkServerEnded, run_edgesync

WAIT = "import time\ntime.sleep(600)\n"


@pytest.mark.slow
def test_another_process_forks_where_the_first_was_killed(tmp_path: Path) -> None:
    # Of a source of its own, so that forks of other tests go on.
    (tmp_path / "waits.py").write_text(WAIT)
    fork = ForkedProcess([], tmp_path / "output", tree=tmp_path, module="waits")
    try:
        server = psutil.Process(psutil.Process(fork.pid).ppid())
        server.send_signal(signal.SIGKILL)
        deadline = time.monotonic() + 10 * UNIT
        while server.is_running() and server.status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert run_edgesync("--version", tree=tmp_path).returncode == 0
        # The status of what the first has forked is lost, but it can be ended.
        fork.kill()
        with pytest.raises(ForkServerEnded):
            fork.wait(10 * UNIT)
    finally:
        with contextlib.suppress(ForkServerEnded):
            fork.kill()
