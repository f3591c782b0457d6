"""`edgesync demo`, as a newcomer runs it."""

import json
import signal
from pathlib import Path

import psutil

from edgesync.demo.resources import example_resources
from tests.deadlines import UNIT
from tests.end_to_end.conftest import wait_for
from tests.preloaded import ForkedProcess, run_edgesync

COMMAND = ["demo", "--simulated"]


def test_it_ends_with_0_once_a_bad_version_was_taken_back(tmp_path: Path) -> None:
    svg = tmp_path / "demo.svg"
    options = ("--nodes", "3", "--exit-when-converged", "--rollout", "--svg", str(svg))
    done = run_edgesync(*COMMAND, *options, timeout=80 * UNIT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "All 3 nodes run the second version." in done.stdout
    assert "max_queued_messages 5000" in done.stdout
    words = " ".join(done.stdout.split())
    assert "was stopped at the canary (1 node failed, of 0 allowed)" in words
    assert "all 3 nodes run version" in words
    assert svg.read_text().startswith("<svg")


def test_a_termination_signal_leaves_no_process_behind(tmp_path: Path) -> None:
    data = tmp_path / "data"
    options = ("--nodes", "2", "--data-dir", str(data))
    demo = ForkedProcess([*COMMAND, *options], tmp_path / "output")
    try:
        wait_for((data / "ready.json").exists, "the demo's server")
        parent = psutil.Process(demo.pid)
        wait_for(lambda: len(parent.children()) == 2, "server and fleet")
        children = parent.children()
        demo.send_signal(signal.SIGTERM)
        demo.wait(20 * UNIT)
    finally:
        demo.kill()
    _, alive = psutil.wait_procs(children, timeout=10 * UNIT)
    assert alive == []


def test_the_examples_mount_a_configuration_and_a_secret_each() -> None:
    for name in ("mosquitto", "telegraf"):
        resources = {resource.kind.word: resource for resource in example_resources(name)}
        volumes = json.dumps(resources["app"].body["volumes"])
        assert resources["config"].name in volumes
        assert resources["secret"].name in volumes
    assert Path("docs/demo.svg").exists()
