"""The commands of backups: what they refuse, and that nothing is left over then."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cloud.app import open_cloud
from cloud.config import Settings
from cloud.settings_sources import load_settings, settings_text
from edgesync.__main__ import main
from edgesync.admin.backup import PASSPHRASE

WORDS = "a passphrase of some length"


def run(*arguments: str | Path, words: str | None = WORDS) -> Result:
    return CliRunner().invoke(main, [str(each) for each in arguments], env={PASSPHRASE: words})


@pytest.fixture
async def data(tmp_path: Path) -> Path:
    settings = Settings(
        data_dir=tmp_path / "data",
        server_names=("sync.example.com",),
        api_port=0,
        activation_port=0,
        mqtt_port=0,
        sync_port=0,
    )
    async with open_cloud(settings, version="1"):
        pass
    return tmp_path / "data"


def test_settings_are_read_as_they_were_written(tmp_path: Path) -> None:
    settings = Settings(
        data_dir=tmp_path,
        ready_file=tmp_path / "ready",
        crl_file=tmp_path / 'crl \\ "x".pem',
        server_names=("a.example.com", "192.0.2.1"),
        function_runtimes=("python3=a/b:1", "other=c"),
        server_generated_keys=True,
        deploys_kept=7,
        log_level="debug",
    )
    file = tmp_path / "settings.toml"
    file.write_text(settings_text(settings))
    given = {"data_dir": tmp_path, "ready_file": tmp_path / "ready"}
    assert load_settings(given, {}, file) == settings
    assert settings_text(Settings()) == ""


async def test_a_restored_server_has_its_files_and_settings_and_an_entry(data: Path) -> None:
    file, there = data.parent / "b", data.parent / "there"
    assert run("backup", file, "--data-dir", data).exit_code == 0
    assert file.stat().st_mode & 0o777 == 0o600
    assert run("restore", file, "--data-dir", there).exit_code == 0
    for name in ("admin.token", "secrets.key", "audit.key", "ca/root.key", "settings.toml"):
        assert (there / name).read_bytes() == (data / name).read_bytes()
        assert (there / name).stat().st_mode & 0o777 == 0o600
    assert 'server_names = ["sync.example.com"]' in (there / "settings.toml").read_text()
    checked = run("audit", "verify", "--data-dir", there)
    assert checked.output.startswith("3 entries")  # of the start, the backup and the restore


async def test_what_is_there_is_not_replaced(data: Path) -> None:
    file = data.parent / "b"
    file.write_text("something else")
    assert run("backup", file, "--data-dir", data).exit_code == 2
    assert file.read_text() == "something else"
    assert run("backup", file, "--data-dir", data, "--force").exit_code == 0
    refused = run("restore", file, "--data-dir", data)
    assert (refused.exit_code, "is not empty" in refused.output) == (2, True)


async def test_a_restore_that_fails_leaves_nothing(data: Path) -> None:
    file, there = data.parent / "b", data.parent / "there"
    run("backup", file, "--data-dir", data)
    wrong = run("restore", file, "--data-dir", there, words="another passphrase")
    assert (wrong.exit_code, "passphrase" in wrong.output) == (1, True)
    file.write_bytes(file.read_bytes()[:-2000])
    cut = run("restore", file, "--data-dir", there)
    assert (cut.exit_code, "does not end behind" in cut.output) == (1, True)
    assert sorted(path.name for path in data.parent.iterdir()) == ["b", "data"]


async def test_a_backup_has_to_have_a_passphrase_that_is_hard_to_guess(data: Path) -> None:
    for words in (None, "short", "            \n"):
        refused = run("backup", data.parent / "b", "--data-dir", data, words=words)
        assert (refused.exit_code, "passphrase" in refused.output) == (2, True)
    assert not (data.parent / "b").exists()


def test_where_there_is_no_server_there_is_no_backup(tmp_path: Path) -> None:
    refused = run("backup", tmp_path / "b", "--data-dir", tmp_path)
    assert (refused.exit_code, "there is no" in refused.output) == (1, True)
    assert list(tmp_path.iterdir()) == []
