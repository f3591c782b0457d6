"""Who else can use a file: which bits, whose file, and the two exceptions."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cloud.store.permissions import (
    directory_trouble,
    secret_file_trouble,
    written_file_trouble,
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text("secret")
    path.chmod(0o600)
    return path


@pytest.mark.parametrize("bit", [1 << number for number in range(6)])
def test_any_right_of_others_is_refused_in_a_file_with_a_secret(file: Path, bit: int) -> None:
    assert secret_file_trouble(file) == ""
    file.chmod(0o600 | bit)
    assert f"run chmod 600 {file}" in secret_file_trouble(file)


@pytest.mark.parametrize("bit", [1 << number for number in range(6)])
def test_others_may_look_and_not_write(file: Path, bit: int) -> None:
    is_writable = bool(bit & 0o022)
    for path, trouble in ((file, written_file_trouble), (file.parent, directory_trouble)):
        path.chmod(0o700 | bit)
        assert bool(trouble(path)) == is_writable


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_what_belongs_to_another_user_is_refused(file: Path) -> None:
    os.chown(file, 12345, -1)
    for trouble in (secret_file_trouble, written_file_trouble, directory_trouble):
        assert f"run chown 0 {file}" in trouble(file)


def trouble_for(file: Path, group: int) -> str:
    """What a process of that group finds."""
    look = "import pathlib, sys; from cloud.store.permissions import *; "
    look += "print(secret_file_trouble(pathlib.Path(sys.argv[1])))"
    command = [sys.executable, "-c", look, str(file)]
    found = subprocess.run(
        command, group=group, capture_output=True, text=True, check=True, timeout=60
    )
    return found.stdout.strip()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_root_may_let_the_group_of_the_server_read(file: Path) -> None:
    os.chown(file, 0, 12345)
    file.chmod(0o640)
    assert trouble_for(file, 12345) == ""
    assert "chmod 600" in trouble_for(file, 12346)
    file.chmod(0o660)
    assert "chmod 600" in trouble_for(file, 12345)


def test_credentials_of_systemd_are_seen_to_by_systemd(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.chmod(0o440)
    assert secret_file_trouble(file)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(file.parent))
    assert secret_file_trouble(file) == ""
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(file.parent / "other"))
    assert secret_file_trouble(file)
