"""The tour, line by line, as a reader types it."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deadlines import UNIT
from tests.ports import free_port
from tests.repo.tracked import ROOT, text_of

BLOCK = re.compile(r"^```(sh|text)\n(.*?)^```$", flags=re.M | re.S)
END = "--- the end of a block ---"


def blocks() -> Iterator[tuple[str, str]]:
    """What to type, and what is shown then."""
    found = BLOCK.findall(text_of(ROOT / "docs" / "tour.md"))
    assert [kind for kind, _ in found] == ["sh", "text"] * (len(found) // 2)
    texts = [text for _, text in found]
    yield from zip(texts[::2], texts[1::2], strict=True)


def steady(text: str) -> str:
    """What is printed, without what is another each time: times, sizes, widths of columns."""
    text = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME", text)
    text = re.sub(r"\b\d+[dhms](\d+[hms])?(?= |$|,)", "AGE", text, flags=re.M)
    text = re.sub(r"\b[\d.]+ (B|[KMG]iB)\b", "SIZE", text)
    return re.sub(r" {2,}", "  ", text)


@pytest.mark.timeout(120 * UNIT)
def test_the_tour_is_true(tmp_path: Path) -> None:
    ports = {old: str(free_port()) for old in ("9004", "9003", "8883", "9005")}
    environment = {key: os.environ[key] for key in os.environ if not key.startswith("EDGESYNC_")}
    environment |= {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}",
        "EDGESYNC_CONTEXTS": str(tmp_path / "contexts.yaml"),
        "EDGESYNC_URL": f"http://127.0.0.1:{ports['9004']}",
        "EDGESYNC_API_PORT": ports["9004"],
        "EDGESYNC_ACTIVATION_PORT": ports["9003"],
        "EDGESYNC_MQTT_PORT": ports["8883"],
        "EDGESYNC_SYNC_PORT": ports["9005"],
    }
    shell = subprocess.Popen(
        ["bash", "-e"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        bufsize=1,
        cwd=tmp_path,
        env=environment,
        start_new_session=True,
    )
    with shell:
        try:
            for typed, expected in blocks():
                for old, new in ports.items():
                    typed, expected = typed.replace(old, new), expected.replace(old, new)
                output = output_of(shell, typed)
                assert steady(output) == steady(expected), f"{typed}\n{output}"
        finally:
            os.killpg(shell.pid, signal.SIGKILL)


def output_of(shell: "subprocess.Popen[str]", typed: str) -> str:
    """What comes of lines that are typed."""
    assert shell.stdin is not None
    assert shell.stdout is not None
    shell.stdin.write(f"{typed}echo '{END}'\n")
    lines: list[str] = []
    for line in shell.stdout:
        if line.strip() == END:
            return "".join(lines)
        lines.append(line)
    pytest.fail(f"a line failed:\n{typed}\n{''.join(lines)}")
