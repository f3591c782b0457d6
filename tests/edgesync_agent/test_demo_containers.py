"""`edgesync demo` on a machine with a container engine: its apps are containers to be seen."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.deadlines import UNIT
from tests.edgesync_agent.engines import NEEDS_DOCKER, RunningEngine, import_image
from tests.end_to_end.conftest import wait_for
from tests.preloaded import ForkedProcess, run_edgesync

pytestmark = [pytest.mark.slow, pytest.mark.timeout(360)]

COMMAND = ["demo", "--nodes", "2"]
BROKER, METRICS = "docker.io/library/eclipse-mosquitto:2.0.22", "docker.io/library/telegraf:1.36"
SLEEP = "trap 'exit 0' TERM; while :; do sleep 1; done"


def environment(running: RunningEngine, home: Path) -> dict[str, str]:
    return {**os.environ, "DOCKER_HOST": f"unix://{running.path}", "HOME": str(home)}


def containers(running: RunningEngine) -> list[Any]:
    found: list[Any] = running.engine.call("GET", "/containers/json", query={"all": True}) or []
    return found


def test_this_machine_runs_the_apps_as_containers_until_the_demo_ends(
    running: RunningEngine, tmp_path: Path
) -> None:
    import_image(running, BROKER, program="broker", script=SLEEP, runs=True)
    import_image(running, METRICS, program="telegraf", script=SLEEP)
    output = tmp_path / "output"
    demo = ForkedProcess(
        [*COMMAND, "--data-dir", str(tmp_path / "data")],
        output,
        environment=environment(running, tmp_path),
    )

    def text() -> str:
        return output.read_text(errors="replace")

    try:
        wait_for(
            lambda: "The server keeps running" in text() or demo.poll() is not None,
            "the second version",
            units=60,
        )
        assert demo.poll() is None, text()
        assert "All 2 nodes run the second version." in text()
        assert f"{running.kind}://" in text()
        assert "mosquitto: image eclipse-mosquitto:2.0.22, port " in text()
        assert "this machine" in text()
        shown = {one["Labels"]["edgesync.app"]: one["State"] for one in containers(running)}
        assert shown == {"mosquitto": "running", "telegraf": "running"}
        for word in ("Dashboard  http://127.0.0.1:", "sign in with the token ", "edgesync login "):
            assert word in text()
    finally:
        demo.send_signal(signal.SIGTERM)
        demo.wait(60 * UNIT)
    assert containers(running) == []
    assert not (tmp_path / "data" / "agent").exists()


@pytest.mark.parametrize("kind", [pytest.param("docker", marks=NEEDS_DOCKER)])
def test_simulated_leaves_the_engine_alone(
    kind: str, engines: dict[str, RunningEngine], tmp_path: Path
) -> None:
    running = engines[kind]
    done = ended(running, tmp_path, "--simulated")
    assert "2 simulated nodes: no app runs on this machine." in done
    assert containers(running) == []


@pytest.mark.parametrize("kind", [pytest.param("docker", marks=NEEDS_DOCKER)])
def test_where_images_cannot_be_had_it_goes_on_with_simulated_nodes(
    kind: str, engines: dict[str, RunningEngine], tmp_path: Path
) -> None:
    running = engines[kind]
    for image in (BROKER, METRICS):
        running.engine.call("DELETE", f"/images/{image}", allow=(404,))
    done = ended(running, tmp_path)
    assert "the demo goes on with simulated nodes" in done
    assert "cannot pull" in done
    assert "All 1 nodes run the second version." in done
    assert containers(running) == []


def ended(running: RunningEngine, folder: Path, *words: str) -> str:
    """What a demo prints that ends once all nodes run the second version."""
    done = run_edgesync(
        *(*COMMAND, "--exit-when-converged", *words),
        environment=environment(running, folder),
        timeout=50 * UNIT,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return " ".join(done.stdout.split())
