"""What is installed is pinned by its hashes, and fits what pyproject.toml asks for."""

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from edgesync import version
from tests.repo.tracked import ROOT, text_of

MEND = "run `make lock` and commit requirements/"
EXTRAS = {"run": (), "image": ("nats", "objects", "postgres"), "dev": ("dev",), "docs": ("docs",)}
PROJECT = tomllib.loads(text_of(ROOT / "pyproject.toml"))


def entries(text: str) -> Mapping[str, str]:
    """The entries of a lock file by the names of packages."""
    found = re.findall(r"^[a-z].*(?:\n +.*)*", text, flags=re.M)
    return {Requirement(entry.partition(" \\")[0]).name: entry for entry in found}


def wanted(extras: tuple[str, ...]) -> list[Requirement]:
    """What pyproject.toml asks for, with setuptools, which builds."""
    project = PROJECT["project"]
    lines = [*PROJECT["build-system"]["requires"], *project["dependencies"]]
    for extra in extras:
        lines += project["optional-dependencies"][extra]
    return [Requirement(line) for line in lines]


def disagreements(text: str, requirements: list[Requirement]) -> list[str]:
    """Where a lock file and what is asked for differ."""
    locked = entries(text)
    found = []
    for one in requirements:
        entry = locked.get(canonicalize_name(one.name))
        pin = Requirement(entry.partition(" \\")[0]) if entry else None
        version = next(iter(pin.specifier)).version if pin else ""
        if not one.specifier.contains(version, prereleases=True) if version else True:
            found.append(f"{one}: {version or 'is missing'}")
    names = {canonicalize_name(one.name) for one in requirements}
    for name, entry in locked.items():
        if re.search(r"^ +# +(via )?(edgesync|-r -)", entry, flags=re.M) and name not in names:
            found.append(f"{name}: pyproject.toml does not ask for it")
    return found


@pytest.mark.parametrize("name", EXTRAS)
def test_the_lock_files_fit_what_the_project_asks_for(name: str) -> None:
    found = disagreements(text_of(ROOT / f"requirements/{name}.txt"), wanted(EXTRAS[name]))
    assert found == [], MEND


def test_a_lock_file_that_is_older_than_the_project_is_found() -> None:
    text = text_of(ROOT / "requirements/run.txt")
    asked = wanted(())
    assert disagreements(text, [*asked, Requirement("never-heard-of>=1")])
    assert disagreements(text, [*asked[:-1], Requirement(f"{asked[-1].name}<0.0.1")])
    assert disagreements(text, asked[:-1])


@pytest.mark.parametrize("name", EXTRAS)
def test_every_pin_is_exact_and_has_hashes(name: str) -> None:
    locked = entries(text_of(ROOT / f"requirements/{name}.txt"))
    assert len(locked) > 20
    for entry in locked.values():
        assert re.match(
            r"[a-z0-9-]+==[\w.+]+( ; [^\n]+)? \\\n    --hash=sha256:[0-9a-f]{64}", entry
        )


def test_what_is_in_several_lock_files_is_the_same_in_all() -> None:
    locked = [entries(text_of(ROOT / f"requirements/{name}.txt")) for name in EXTRAS]
    pins = {(name, entry.partition(" ")[0]) for one in locked for name, entry in one.items()}
    assert len({name for name, _ in pins}) == len(pins)


VENDORED = ROOT / "cloud/rest/dashboard/static/vendor"


def test_vendored_scripts_are_those_that_are_written_down() -> None:
    listed = tomllib.loads(text_of(ROOT / "requirements/vendored.toml"))["file"]
    assert {one["name"]: one["sha256"] for one in listed} == {
        path.name: sha256(path.read_bytes()).hexdigest() for path in VENDORED.iterdir()
    }
    for one in listed:
        assert bool(one["change"]) == (one["sha256"] != one["published_sha256"]), one["name"]


def test_the_bill_of_materials_names_all_that_is_in_the_image(tmp_path: Path) -> None:
    made = [_sbom(tmp_path / "one.json"), _sbom(tmp_path / "two.json")]
    assert made[0] == made[1]
    assert made[0]["bomFormat"] == "CycloneDX"
    assert made[0]["metadata"]["component"]["version"] == version()
    purls = {component["purl"] for component in made[0]["components"]}
    locked = entries(text_of(ROOT / "requirements/image.txt"))
    pinned = {
        f"pkg:pypi/{entry.partition(' ')[0].replace('==', '@')}"
        for entry in locked.values()
        if "sys_platform == 'win32'" not in entry
    }
    assert {purl for purl in purls if purl.startswith("pkg:pypi/")} == pinned
    assert sum(purl.startswith("pkg:npm/") for purl in purls) == len(list(VENDORED.iterdir()))
    [whole] = [one for one in made[0]["dependencies"] if one["ref"] == "edgesync"]
    direct = {canonicalize_name(one.name) for one in wanted(EXTRAS["image"])}
    assert {
        ref.removeprefix("pkg:pypi/").partition("@")[0]
        for ref in whole["dependsOn"]
        if ref.startswith("pkg:pypi/")
    } == direct - {"setuptools", "setuptools-scm"}


def _sbom(target: Path) -> Any:
    command = [sys.executable, str(ROOT / "scripts/sbom"), str(target)]
    subprocess.run(command, check=True, timeout=60, capture_output=True)
    return json.loads(target.read_text())
