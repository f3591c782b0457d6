"""The command that changes the key, and a server that starts after it was cut short."""

import base64
import os
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cloud.app import open_cloud
from cloud.config import BadSettings, Settings
from edgesync.__main__ import main
from tests.builders import open_store
from tests.preloaded import ForkedProcess
from tests.recipients import new_recipient
from tests.store.conftest import unavailable


def die_at(point: str, directory: Path) -> None:
    words = [str(directory), "", point]
    process = ForkedProcess(words, os.devnull, module="tests.store.rekey_process")
    try:
        assert process.wait(60) == 9
    finally:
        process.kill()


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


def run(*arguments: str | Path, **environ: str) -> Result:
    return CliRunner().invoke(main, [str(each) for each in arguments], env=environ)


def key_file(path: Path) -> Path:
    path.touch(0o600)
    path.write_bytes(base64.b64encode(os.urandom(32)))
    return path


def contents(directory: Path) -> dict[Path, bytes]:
    """All files but those in which SQLite records that it has read."""
    files = [path for path in directory.rglob("*") if path.is_file()]
    return {path: path.read_bytes() for path in files if not path.name.endswith(("-shm", "-wal"))}


async def started(settings: Settings) -> None:
    async with open_cloud(settings, version="1"):
        pass


async def test_the_key_of_a_server_gets_a_key_from_outside_and_then_another(tmp_path: Path) -> None:
    data, backup, owner = tmp_path / "data", tmp_path / "backup", new_recipient()
    identity = ("--identity-file", owner.identity_file(tmp_path))
    plain = Settings(data_dir=data, api_port=0, activation_port=0, mqtt_port=0, sync_port=0)
    first = replace(plain, key_encryption_file=key_file(tmp_path / "first"))
    second = replace(plain, key_encryption_file=key_file(tmp_path / "second"))
    config = tmp_path / "second.toml"
    config.write_text(f"key_encryption_file = '{second.key_encryption_file}'\n")
    await started(plain)
    with unavailable("is not encrypted"):
        await started(first)

    # from none to one
    variable = {"EDGESYNC_KEY_ENCRYPTION_FILE": str(first.key_encryption_file)}
    done = run("rekey", "--data-dir", data, "--key-only", **variable)
    assert (done.exit_code, "is encrypted anew" in done.output) == (0, True), done.output
    with unavailable("name its key by"):
        await started(plain)
    await started(first)
    assert run("backup", backup, "--data-dir", data, "--recipient", owner.public_key).exit_code == 0

    # to another, and all that is encrypted to another key
    assert run("rekey", "--data-dir", data, "--new-config", config).exit_code == 0
    before = contents(data)
    with unavailable("is encrypted with the key"):
        await started(first)
    assert contents(data) == before
    await started(second)

    # a backup needs the one of its time
    unchecked = run("verify", backup, *identity)
    assert (unchecked.exit_code, "was not checked" in unchecked.output) == (0, True)
    refused = run("verify", backup, *identity, "--config", config)
    assert (refused.exit_code, "is encrypted with the key" in refused.output) == (1, True)
    checked = run("verify", backup, *identity, **variable)
    assert (checked.exit_code, "documents decrypted" in checked.output) == (0, True)
    there = tmp_path / "there"
    assert run("restore", backup, "--data-dir", there, *identity).exit_code == 0
    await started(replace(first, data_dir=there))
    assert run("rekey", "--data-dir", there, "--key-only", "--new-config", config).exit_code == 0
    await started(replace(second, data_dir=there))


def test_one_source_of_a_key_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match="set both"):
        Settings(key_decryption_command=("kms",))
    with pytest.raises(BadSettings, match="set one of them"):
        Settings(key_encryption_file=tmp_path, key_encryption_variable="KEK")
