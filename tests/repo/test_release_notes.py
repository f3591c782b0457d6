"""The notes of a release are its section of the changelog."""

import subprocess
import sys

from tests.repo.tracked import ROOT, text_of


def release_notes(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(ROOT / "scripts/release-notes"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_the_notes_are_the_section_of_the_version() -> None:
    done = release_notes("0.2.0", "https://git.example.com/edgesync/blob/v1/")
    section = text_of(ROOT / "CHANGELOG.md").split("\n## 0.2.0")[1]
    section = section.partition("\n## ")[0].partition("\n")[2].strip()
    assert done.stdout.startswith("### ")
    assert "](docs/" not in done.stdout
    assert (
        done.stdout.replace("](https://git.example.com/edgesync/blob/v1/", "](") == f"{section}\n"
    )
    assert release_notes("0.1.0").stdout.startswith("### Added\n")


def test_a_version_without_a_section_is_an_error() -> None:
    done = release_notes("0.0.9")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "CHANGELOG.md has no section 0.0.9\n"
