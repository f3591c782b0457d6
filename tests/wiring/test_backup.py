"""The commands of backups: what they refuse, and that nothing is left over then."""

import asyncio
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cloud.app import open_cloud
from cloud.config import Settings
from cloud.settings_sources import load_settings, settings_text
from edgesync.__main__ import main
from edgesync.admin.backup import PASSPHRASE
from tests.recipients import new_recipient

WORDS = "a passphrase of some length"


def run(*arguments: str | Path, words: str | None = WORDS) -> Result:
    return CliRunner().invoke(main, [str(each) for each in arguments], env={PASSPHRASE: words})


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a server has left; only the commands under test change it."""
    settings = Settings(
        data_dir=tmp_path_factory.mktemp("server") / "data",
        server_names=("sync.example.com",),
        api_port=0,
        activation_port=0,
        mqtt_port=0,
        sync_port=0,
    )

    async def start() -> None:
        async with open_cloud(settings, version="1"):
            pass

    asyncio.run(start())
    return settings.data_dir


@pytest.fixture(scope="module")
def made(data: Path) -> Path:
    """A backup under a passphrase, which costs time by design."""
    file = data.parent / "made"
    assert run("backup", file, "--data-dir", data).exit_code == 0
    return file


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


def test_a_restored_server_has_its_files_and_settings_and_an_entry(
    data: Path, made: Path, tmp_path: Path
) -> None:
    there = tmp_path / "there"
    assert made.stat().st_mode & 0o777 == 0o600
    assert run("restore", made, "--data-dir", there).exit_code == 0
    for name in ("admin.token", "secrets.key", "audit.key", "ca/root.key", "settings.toml"):
        assert (there / name).read_bytes() == (data / name).read_bytes()
        assert (there / name).stat().st_mode & 0o777 == 0o600
    assert 'server_names = ["sync.example.com"]' in (there / "settings.toml").read_text()
    checked = run("audit", "verify", "--data-dir", there)
    assert checked.output.startswith("3 entries")  # of the start, the backup and the restore


def test_a_restore_that_fails_leaves_nothing(made: Path, tmp_path: Path) -> None:
    file, there = tmp_path / "b", tmp_path / "there"
    shutil.copy(made, file)
    wrong = run("restore", file, "--data-dir", there, words="another passphrase")
    assert (wrong.exit_code, "passphrase" in wrong.output) == (1, True)
    file.write_bytes(file.read_bytes()[:-2000])
    cut = run("restore", file, "--data-dir", there)
    assert (cut.exit_code, "does not end behind" in cut.output) == (1, True)
    assert list(tmp_path.iterdir()) == [file]


def test_what_is_there_is_not_replaced(data: Path, tmp_path: Path) -> None:
    file = tmp_path / "b"
    file.write_text("something else")
    command = ("backup", file, "--data-dir", data, "--recipient", new_recipient().public_key)
    assert run(*command, words=None).exit_code == 2
    assert file.read_text() == "something else"
    assert run(*command, "--force", words=None).exit_code == 0
    assert file.read_text(errors="replace") != "something else"
    refused = run("restore", file, "--data-dir", data)
    assert (refused.exit_code, "is not empty" in refused.output) == (2, True)


def test_a_backup_to_recipients_is_restored_by_each_and_has_no_passphrase(
    data: Path, tmp_path: Path
) -> None:
    file, one, other = tmp_path / "b", new_recipient(), new_recipient()
    given = ("--recipient", one.public_key, "--recipient", other.public_key)
    both = run("backup", file, "--data-dir", data, *given)
    assert (both.exit_code, "use one of them" in both.output) == (2, True)
    done = run("backup", file, "--data-dir", data, *given, words=None)
    assert done.exit_code == 0, done.output
    identity = ("--identity-file", other.identity_file(tmp_path))
    assert run("verify", file, *identity).exit_code == 2
    checked = run("verify", file, *identity, words=None)
    assert (checked.exit_code, " is intact: " in checked.output) == (0, True), checked.output
    there = tmp_path / "there"
    refused = run("restore", file, "--data-dir", there)
    assert (refused.exit_code, "encrypted to recipients" in refused.output) == (1, True)
    assert run("restore", file, "--data-dir", there, *identity, words=None).exit_code == 0
    assert (there / "secrets.key").read_bytes() == (data / "secrets.key").read_bytes()


def test_keys_of_age_in_the_wrong_place_are_refused(data: Path, made: Path, tmp_path: Path) -> None:
    owner = new_recipient()
    private = owner.identity.splitlines()[-1]
    command = ("backup", tmp_path / "b", "--data-dir", data, "--recipient", private)
    refused = run(*command, words=None)
    assert (refused.exit_code, "not a public key" in refused.output) == (2, True)
    assert private not in refused.output
    file = owner.identity_file(tmp_path)
    of_passphrase = run("verify", made, "--identity-file", file, words=None)
    assert (of_passphrase.exit_code, "with a passphrase" in of_passphrase.output) == (1, True)
    file.write_text(owner.public_key)
    refused = run("verify", made, "--identity-file", file, words=None)
    assert (refused.exit_code, "not a private key" in refused.output) == (2, True)
    file.chmod(0o644)
    refused = run("verify", made, "--identity-file", file, words=None)
    assert (refused.exit_code, "--identity-file" in refused.output) == (2, True)


def test_a_backup_has_to_have_a_passphrase_that_is_hard_to_guess(
    data: Path, tmp_path: Path
) -> None:
    for words in (None, "short", "            \n"):
        refused = run("backup", tmp_path / "b", "--data-dir", data, words=words)
        assert (refused.exit_code, "passphrase" in refused.output) == (2, True)
    assert list(tmp_path.iterdir()) == []


def test_where_there_is_no_server_there_is_no_backup(tmp_path: Path) -> None:
    refused = run("backup", tmp_path / "b", "--data-dir", tmp_path)
    assert (refused.exit_code, "there is no" in refused.output) == (1, True)
    assert list(tmp_path.iterdir()) == []
