"""`make dist`: the files of a release, made twice."""

import filecmp
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from email.parser import HeaderParser
from pathlib import Path

import pytest

from edgesync.__main__ import main
from tests.deadlines import UNIT
from tests.repo.tracked import ROOT, text_of

pytestmark = [
    pytest.mark.slow,  # builds everything two times
    pytest.mark.timeout(300 * UNIT),
]
SIGNER = "release@example.com"


def checked(
    *command: str,
    cwd: Path = ROOT,
    given: bytes = b"",
    variables: Mapping[str, str] | None = None,
) -> str:
    """What a command prints on both streams; it has to succeed."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **(variables or {})},
        input=given,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=200 * UNIT,
        check=False,
    )
    output = done.stdout.decode()
    assert done.returncode == 0, output[-3000:]
    return output


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("dist")
    assert (ROOT / ".git").exists(), "not a git checkout"
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def key(folder: Path) -> Path:
    checked("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", SIGNER, "-f", str(folder / "key"))
    return folder / "key"


def make_dist(out: Path, **variables: str) -> str:
    program = [sys.executable, str(ROOT / "scripts/dist"), str(out)]
    return checked(*program, cwd=out.parent, variables=variables)


@pytest.fixture(scope="module")
def release(folder: Path, key: Path) -> Path:
    make_dist(folder / "release", EDGESYNC_SIGNING_KEY=str(key))
    return folder / "release"


def the(folder: Path, pattern: str) -> Path:
    """The one file of that pattern."""
    [path] = folder.glob(pattern)
    return path


def version_of(release: Path) -> str:
    return the(release, "*.whl").name.split("-")[1]


def test_a_second_run_makes_the_same_files(folder: Path, release: Path) -> None:
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    variables = {"PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo", "LC_ALL": "C"}
    output = make_dist(elsewhere / "release", **variables)
    assert "SHA256SUMS is not signed: EDGESYNC_SIGNING_KEY names no key" in output
    names = {path.name for path in release.iterdir()}
    assert {path.name for path in elsewhere.glob("release/*")} == names - {"SHA256SUMS.sig"}
    _, different, missing = filecmp.cmpfiles(
        release, elsewhere / "release", names - {"SHA256SUMS.sig"}, shallow=False
    )
    assert (different, missing) == ([], [])


def test_all_files_are_in_the_sums_and_the_sums_are_signed(
    folder: Path, key: Path, release: Path
) -> None:
    sums = (release / "SHA256SUMS").read_bytes()
    listed = {line.split("  ")[1] for line in sums.decode().splitlines()}
    assert listed == {path.name for path in release.iterdir()} - {"SHA256SUMS", "SHA256SUMS.sig"}
    checked("sha256sum", "--check", "--strict", "SHA256SUMS", cwd=release)
    (folder / "signers").write_text(f"{SIGNER} {key.with_suffix('.pub').read_text()}")
    verify = ["ssh-keygen", "-Y", "verify", "-f", str(folder / "signers"), "-I", SIGNER]
    verify += ["-n", "file", "-s", str(release / "SHA256SUMS.sig")]
    assert "Good" in checked(*verify, given=sums)
    done = subprocess.run(verify, input=sums + b"x", capture_output=True, timeout=60, check=False)
    assert done.returncode != 0


def test_a_directory_with_other_files_is_not_replaced(folder: Path) -> None:
    (folder / "mine").mkdir()
    (folder / "mine" / "file").touch()
    command = [sys.executable, str(ROOT / "scripts/dist"), str(folder / "mine")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, (folder / "mine" / "file").exists()) == (1, True)
    assert "has other files than those of a release" in done.stderr


def test_wheel_and_sdist_are_of_the_commit(release: Path) -> None:
    version = version_of(release)
    with zipfile.ZipFile(the(release, "*.whl")) as wheel:
        named = wheel.read(f"edgesync-{version}.dist-info/METADATA").decode()
        assert HeaderParser().parsestr(named)["Version"] == version
        assert "edgesync_agent/install.sh" in wheel.namelist()
    with tarfile.open(the(release, f"edgesync-{version}.tar.gz")) as sdist:
        listed = {entry.name.partition("/")[2] for entry in sdist}
    tracked = checked("git", "ls-tree", "-r", "--name-only", "HEAD").splitlines()
    assert set(tracked) <= listed
    assert not any(name.startswith(".venv") for name in listed)


def test_the_agent_is_one_file_that_runs(release: Path) -> None:
    agent = str(release / "edgesync-agent.pyz")
    assert "uninstall" in checked(sys.executable, "-I", agent, "--help")


def test_the_manual_has_every_command_and_no_mistake_of_groff(release: Path) -> None:
    groff = shutil.which("groff")
    assert groff or not os.environ.get("CI"), "groff is not installed"
    for page in (release / "edgesync.1", release / "edgesync-agent.1"):
        if groff:
            assert checked(groff, "-man", "-ww", "-z", "-Tutf8", str(page)) == ""
    sections = re.findall(r"^\.SS edgesync (\S+)", text_of(release / "edgesync.1"), flags=re.M)
    names = {name.replace("-", "\\-") for name in main.list_commands(main.make_context("x", ["x"]))}
    assert set(sections) == names
    assert f'"edgesync {version_of(release)}"' in text_of(release / "edgesync.1")
    assert ".B uninstall\n" in text_of(release / "edgesync-agent.1")


def test_the_completion_of_bash_completes(release: Path) -> None:
    script = 'source "$0"; complete -p edgesync; COMP_WORDS=(edgesync rol) COMP_CWORD=1'
    script += '; _edgesync_completion edgesync; echo "${COMPREPLY[@]}"'
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    output = checked("bash", "-c", script, str(release / "edgesync.bash"), variables={"PATH": path})
    assert output.splitlines()[-1] == "rollout"


def test_the_bill_of_materials_has_the_version_of_the_release(release: Path) -> None:
    assert f'"version": "{version_of(release)}"' in text_of(release / "edgesync.cdx.json")
