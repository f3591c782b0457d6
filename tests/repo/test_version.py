"""The version is that of the tag; without git it is the newest one in the changelog."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from edgesync import version
from edgesync.__main__ import main
from tests.repo.tracked import ROOT, text_of

PROJECT = tomllib.loads(text_of(ROOT / "pyproject.toml"))
FALLBACK = PROJECT["tool"]["setuptools_scm"]["fallback_version"]


def version_of(tree: Path, **environ: str) -> str:
    environ["PATH"] = os.environ["PATH"]
    command = [sys.executable, "-W", "ignore", "-m", "setuptools_scm"]
    done = subprocess.run(
        command, cwd=tree, env=environ, capture_output=True, text=True, check=True, timeout=50
    )
    return done.stdout.strip()


def git(tree: Path, *words: str) -> None:
    author = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
    subprocess.run(["git", *author, *words], cwd=tree, check=True, capture_output=True, timeout=60)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_newest_version_stands_wherever_there_is_no_tag() -> None:
    changelog = text_of(ROOT / "CHANGELOG.md")
    newest, *_ = re.findall(r"^## (\d+\.\d+\.\d+)\b", changelog, flags=re.M)
    assert newest == FALLBACK
    assert f"image: edgesync:{newest}\n" in text_of(ROOT / "docker-compose.yml")


def test_a_tree_without_git_has_the_fallback_and_an_image_its_argument(tree: Path) -> None:
    name = "SETUPTOOLS_SCM_PRETEND_VERSION_FOR_EDGESYNC"
    assert f"{name}=${{VERSION}}" in text_of(ROOT / "Dockerfile")
    assert version_of(tree) == version_of(tree, **{name: ""}) == FALLBACK
    assert version_of(tree, **{name: "9.8.7"}) == "9.8.7"


def test_a_checkout_has_the_version_of_its_tag_or_a_development_version(tree: Path) -> None:
    git(tree, "init", "--initial-branch=main")
    git(tree, "add", "pyproject.toml")
    git(tree, "commit", "--message=first")
    assert re.fullmatch(r"\d+\.\d+\.\d+\.dev1\+g[0-9a-f]+", version_of(tree))
    git(tree, "tag", "v9.8.7")
    assert version_of(tree) == "9.8.7"
    git(tree, "commit", "--allow-empty", "--message=second")
    assert re.fullmatch(r"9\.8\.8\.dev1\+g[0-9a-f]+", version_of(tree))


def test_a_shallow_clone_without_tags_has_a_version_after_the_last_one(
    tree: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    git(tree, "init", "--initial-branch=main")
    git(tree, "add", "pyproject.toml")
    for message in ("first", "second"):
        git(tree, "commit", "--allow-empty", f"--message={message}")
    clone = tmp_path_factory.mktemp("clone")
    git(clone, "clone", "--quiet", "--depth=1", f"file://{tree}", "shallow")
    major, minor, patch = map(int, FALLBACK.split("."))
    found = version_of(clone / "shallow")
    assert re.fullmatch(rf"{major}\.{minor}\.{patch + 1}\.dev1\+g[0-9a-f]+", found)


def test_the_command_reports_the_installed_version() -> None:
    output = CliRunner().invoke(main, ["--version"]).output
    assert output == f"edgesync, version {version()}\n"
    assert re.match(r"\d+\.\d+\.\d+", version())
