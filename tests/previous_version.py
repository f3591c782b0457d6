"""The version before this one, as source: its commands run with the packages of this one.

It is that of the newest tag before this commit. Where there is no tag, it is the commit that
`requirements/previous-version` names.
"""

import os
import re
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.deadlines import UNIT

ROOT = Path(__file__).parents[1]
NAMED = ROOT / "requirements" / "previous-version"


@dataclass(frozen=True)
class PreviousVersion:
    """The source of the previous version in the folder *tree*, and its *version*."""

    tree: Path
    version: str

    def python(self, code: str) -> str:
        """What *code* prints in an interpreter that imports the previous version."""
        return python_in(self.tree, code)


def python_in(tree: Path, code: str) -> str:
    """What *code* prints in an interpreter that imports the source in *tree*."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree)},
        capture_output=True,
        text=True,
        timeout=60 * UNIT,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def unpack_previous_version(tree: Path) -> PreviousVersion:
    """Unpack it into *tree*; the test is skipped if the clone does not have its commit."""
    tag = _git("describe", "--tags", "--abbrev=0", "--match=v[0-9]*", "HEAD^")
    commit = tag or NAMED.read_text().strip()
    if _git("cat-file", "-t", f"{commit}^{{commit}}") != "commit":
        pytest.skip(f"this clone does not have the commit of the previous version: {commit}")
    archive = subprocess.run(
        ["git", "archive", "--format=tar", commit],
        cwd=ROOT,
        capture_output=True,
        check=True,
        timeout=60,
    )
    subprocess.run(["tar", "-xC", tree], input=archive.stdout, check=True, timeout=60)
    version = tag.removeprefix("v") or _fallback(tree)
    # The version is asked for as that of the installed distribution.
    metadata = tree / f"edgesync-{version}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: edgesync\nVersion: {version}\n"
    )
    return PreviousVersion(tree, version)


def _fallback(tree: Path) -> str:
    project = tomllib.loads((tree / "pyproject.toml").read_text())
    version = str(project["tool"]["setuptools_scm"]["fallback_version"])
    assert re.fullmatch(r"\d+\.\d+\.\d+", version)
    return version


def _git(*words: str) -> str:
    """What git prints; empty where it fails."""
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, timeout=60)
    return done.stdout.strip() if done.returncode == 0 else ""
