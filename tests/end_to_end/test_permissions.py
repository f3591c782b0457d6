"""What others can read or change and should not: a server does not start on it."""

from pathlib import Path

import pytest

from tests.end_to_end.test_lost_keys import FREE
from tests.end_to_end.test_serve import serve


@pytest.mark.parametrize("mode", [0o770, 0o702, 0o777])
def test_a_data_directory_that_others_can_write_to_is_refused(tmp_path: Path, mode: int) -> None:
    data = tmp_path / "data"
    data.mkdir()
    data.chmod(mode)
    ended = serve("--data-dir", str(data), *FREE)
    assert ended.returncode == 1
    assert f"{data}: others can write to this directory; run chmod go-w {data}" in ended.stderr
    assert list(data.iterdir()) == []


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_passphrase_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "passphrase"
    file.write_text("a passphrase of some length\n")
    file.chmod(mode)
    ended = serve("--data-dir", str(tmp_path / "d"), "--ca-passphrase-file", str(file), *FREE)
    assert ended.returncode == 2
    assert f"run chmod 600 {file}" in ended.stderr
    assert not (tmp_path / "d").exists()


PASSWORD = 'database = "postgresql://edgesync:password@127.0.0.1:1/edgesync"\n'


@pytest.mark.parametrize(
    ("text", "mode", "mended"),
    [
        (PASSWORD, 0o644, "chmod 600"),
        (PASSWORD, 0o640, "chmod 600"),
        ("namespace = 'shop'\n", 0o664, "chmod go-w"),
        ("namespace = 'shop'\n", 0o646, "chmod go-w"),
    ],
)
def test_settings_that_others_can_read_or_change_are_refused(
    tmp_path: Path, text: str, mode: int, mended: str
) -> None:
    file = tmp_path / "edgesync.toml"
    file.write_text(text)
    file.chmod(mode)
    ended = serve("--data-dir", str(tmp_path / "d"), "--config", str(file), *FREE)
    assert ended.returncode == 2
    assert f"run {mended} {file}" in ended.stderr
    assert "password@" not in ended.stderr
