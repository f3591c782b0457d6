"""The command that changes the key, and a server that starts after it was cut short."""

import subprocess
import sys
from pathlib import Path

from click.testing import CliRunner

from cloud.app import open_cloud
from cloud.config import Settings
from edgesync.__main__ import main
from tests.builders import open_store

ROOT = Path(__file__).parent.parent.parent


def die_at(point: str, directory: Path) -> None:
    process = str(ROOT / "tests" / "store" / "rekey_process.py")
    command = [sys.executable, process, str(directory), "", point]
    died = subprocess.run(command, cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, check=False)
    assert died.returncode == 9


async def test_the_command_prints_what_it_did_or_the_reason(tmp_path: Path) -> None:
    nothing = CliRunner().invoke(main, ["rekey", "--data-dir", str(tmp_path)])
    assert (nothing.exit_code, "edgesync.db" in nothing.output) == (1, True)
    async with open_store(tmp_path):
        taken = CliRunner().invoke(main, ["rekey", "--data-dir", str(tmp_path)])
        assert taken.exit_code == 1
    done = CliRunner().invoke(main, ["rekey", "--data-dir", str(tmp_path)])
    assert (done.exit_code, done.output[:11]) == (0, "0 documents")


async def test_a_server_starts_after_a_change_of_keys_was_cut_short(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, api_port=0, activation_port=0, mqtt_port=0, sync_port=0)
    for point in ("key made", "committed"):
        async with open_cloud(settings, version="1"):
            pass
        die_at(point, tmp_path)
    async with open_cloud(settings, version="1"):
        assert not (tmp_path / "secrets.key.new").exists()
