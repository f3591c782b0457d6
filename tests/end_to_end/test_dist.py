"""`make dist`: the files of a release, made twice, installed and run.

One module, since a file system of Debian is the base of the image, and the machine on which the
Debian packages are installed.
"""

import contextlib
import filecmp
import json
import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from email.parser import HeaderParser
from pathlib import Path

import httpx
import pytest

from edgesync.__main__ import main
from tests.deadlines import UNIT
from tests.edgesync_agent.engines import NEEDS_DOCKER, running_engine
from tests.edgesync_agent.registry import running_registry
from tests.end_to_end.conftest import wait_for
from tests.end_to_end.debian import NEEDS_DEBIAN, DebianMachine, add_pip, make_debian
from tests.end_to_end.image import Docker, as_in_compose, health, ready_answer
from tests.repo.tracked import ROOT, text_of

pytestmark = [
    pytest.mark.slow,  # builds everything two times
    pytest.mark.timeout(300 * UNIT),
]
BASE, VERSION = "edgesync-test/base:1", "9.8.7"
NODE = "machine-of-debian"
"""Host processes of a node are found by its name: no other test may have it."""

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
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    folder = tmp_path_factory.mktemp("dist")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def key(folder: Path) -> Path:
    checked("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", SIGNER, "-f", str(folder / "key"))
    return folder / "key"


def without_network() -> list[str]:
    """A command that runs another one without a network, where that is allowed."""
    command = ["unshare", "--net"]
    tried = shutil.which("unshare") and subprocess.run([*command, "true"], check=False, timeout=60)
    return command if tried and tried.returncode == 0 else []


def make_dist(out: Path, **variables: str) -> str:
    program = [*without_network(), sys.executable, str(ROOT / "scripts/dist"), str(out)]
    # The image has a test of its own.
    without_engine = {"DOCKER_HOST": "unix:///none", "CONTAINER_HOST": "unix:///none"}
    return checked(*program, cwd=out.parent, variables={**variables, **without_engine})


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


def test_the_scripts_of_the_packages_are_for_any_shell() -> None:
    program = shutil.which("shellcheck")
    if program is None and not os.environ.get("CI"):
        pytest.skip("shellcheck is not installed")
    scripts = [path for path in (ROOT / "deploy/debian").glob("*/*") if text_of(path)[:2] == "#!"]
    assert len(scripts) == 7
    checked("shellcheck", str(ROOT / "scripts/image"), *map(str, scripts))


@pytest.fixture(scope="module")
def debian(folder: Path) -> Path:
    make_debian(folder / "debian")
    return folder / "debian"


@pytest.fixture
def machine(debian: Path, folder: Path) -> Iterator[DebianMachine]:
    machine = DebianMachine(debian, folder / "machine")
    yield machine
    shutil.rmtree(machine.root)


USED = """
import broker.nats_hub, edgesync.cli.rollout, psycopg, rich.progress
from datetime import timedelta
from cloud.core.objects import Unsigned
from cloud.link.presigning import presigner

print(presigner(timedelta(hours=1))(Unsigned("http://store/a", "region", "key", "secret")))
"""
"""What no test uses otherwise of packages of which a part is left out."""

SYSTEMCTL = """#!/bin/sh
echo "$@" >> /systemctl.log
[ "$2" != enable ] || exec nohup {start} > /agent.log 2>&1 &
"""
"""What systemd does with the unit of the agent."""


def brought_in(machine: DebianMachine, data: Path, api: str) -> None:
    """An installation command makes the machine a node, by the unit of the package."""
    unit = text_of(machine.root / "usr/lib/systemd/system/edgesync-agent.service")
    [start] = re.findall(r"^ExecStart=(.*)$", unit, flags=re.M)
    systemctl = machine.root / "usr/bin/systemctl"
    systemctl.write_text(SYSTEMCTL.format(start=start))
    systemctl.chmod(0o755)
    authorization = {"Authorization": f"Bearer {(data / 'admin.token').read_text().strip()}"}
    with httpx.Client(base_url=api, headers=authorization) as client:
        client.post("/v1/nodes", json={"name": NODE}).raise_for_status()
        command = client.get(f"/v1/nodes/{NODE}/init").raise_for_status().json()["cmd"]
        assert f"node default.{NODE} reports in" in machine.run("sh", "-c", command)
        assert client.get(f"/v1/nodes/{NODE}").json()["ready"] is True
    assert not (machine.root / "etc/systemd/system/edgesync-agent.service").exists()
    output = machine.run("edgesync-agent", "uninstall")
    assert "disabled the unit /usr/lib/systemd/system/edgesync-agent.service" in output
    assert (machine.root / "systemctl.log").read_text().splitlines() == [
        "--system show-environment",
        "--system stop edgesync-agent.service",
        "--system daemon-reload",
        "--system enable --now edgesync-agent.service",
        "--system disable --now edgesync-agent.service",
    ]
    systemctl.unlink()


@contextlib.contextmanager
def started_by_unit(machine: DebianMachine, log: Path) -> Iterator[str]:
    """The API of a server that runs as the unit of its package starts it, on free ports."""
    unit = text_of(machine.root / "usr/lib/systemd/system/edgesync.service")
    settings = dict(re.findall(r"^(\w+)=(.*)$", unit, flags=re.M))
    user = f"--userspec={settings['User']}:{settings['Group']}"
    command = ["chroot", user, str(machine.root), *shlex.split(settings["ExecStart"])]
    command += [f"--{name}-port=0" for name in ("api", "activation", "mqtt", "sync")]
    with log.open("w") as output, subprocess.Popen(command, stdout=output, stderr=output) as server:
        try:
            wait_for(lambda: "edgesync is ready" in log.read_text(), "the server", units=60)
            [address] = re.findall(r"API (http://\S+),", log.read_text())
            yield address
        finally:
            server.terminate()
            server.wait(30 * UNIT)
    assert server.returncode == 0, log.read_text()


@NEEDS_DEBIAN
def test_the_debian_packages_are_installed_upgraded_removed_and_purged(
    release: Path, machine: DebianMachine, folder: Path
) -> None:
    python = machine.run("python3", "-c", "import sys; print(sys.version_info[:2])").strip()
    if python != str(sys.version_info[:2]):
        pytest.skip(f"the packages are for Python {sys.version_info[:2]}, Debian has {python}")
    packages = [str(path) for path in release.glob("*.deb")]
    data, home = machine.root / "var/lib/edgesync", machine.root / "var/lib/edgesync-agent"
    settings = machine.root / "etc/edgesync/edgesync.toml"
    machine.dpkg("--install", *packages)
    assert (
        machine.run("edgesync", "--version").strip() == f"edgesync, version {version_of(release)}"
    )
    assert "X-Amz-Signature=" in machine.run("/opt/edgesync/bin/python3", "-c", USED)
    assert (stat.S_IMODE(data.stat().st_mode), stat.S_IMODE(home.stat().st_mode)) == (0o700, 0o700)
    assert stat.S_IMODE(settings.stat().st_mode) == 0o640
    assert machine.run("stat", "-c", "%U:%G", "/var/lib/edgesync") == "edgesync:edgesync\n"
    assert machine.run("stat", "-c", "%U:%G", "/etc/edgesync/edgesync.toml") == "root:edgesync\n"
    wanted = machine.root / "etc/systemd/system/multi-user.target.wants"
    assert {one.name for one in wanted.iterdir()} == {"edgesync.service", "edgesync-agent.service"}
    with started_by_unit(machine, folder / "server.log") as api:
        assert httpx.get(f"{api}/readyz").status_code == 200
        assert httpx.get(f"{api}/version").json()["version"] == version_of(release)
        brought_in(machine, data, api)

    # An upgrade keeps settings and data, and brings the agent that it has.
    settings.write_text('namespace = "shops"\n')
    token = (data / "admin.token").read_text()
    assert not home.exists()
    machine.dpkg("--install", *packages)
    assert machine.dpkg("--verify", "edgesync", "edgesync-agent").split() == [
        *("??5??????", "c", "/etc/edgesync/edgesync.toml")
    ]
    assert (home / "agent.pyz").read_bytes() == (release / "edgesync-agent.pyz").read_bytes()
    assert (data / "admin.token").read_text() == token

    machine.dpkg("--remove", "edgesync", "edgesync-agent")
    assert not (machine.root / "opt/edgesync").exists()  # with what was compiled there
    assert (data / "admin.token").read_text() == token
    assert settings.exists()
    assert (home / "agent.pyz").exists()
    machine.dpkg("--purge", "edgesync", "edgesync-agent")
    assert [one for one in (data, home, settings.parent, wanted) if one.exists()] == []


@pytest.fixture(scope="module")
def docker(folder: Path) -> Iterator[Docker]:
    with ExitStack() as stack:
        registry = stack.enter_context(running_registry(folder / "registry"))
        yield Docker(stack.enter_context(running_engine("docker", folder / "docker", registry)))


@pytest.fixture(scope="module")
def image(docker: Docker, debian: Path, folder: Path) -> str:
    """The image of the Dockerfile, on `BASE`, loaded from the archive of the release."""
    add_pip(debian)
    (folder / "image").mkdir()
    system = str(folder / "image" / "debian.tar")
    checked("tar", "--directory", str(debian), "--create", "--file", system, ".")
    docker("import", system, BASE)
    docker.build(folder / "image", BASE, VERSION)
    with tarfile.open(folder / f"image/edgesync-{VERSION}-image.tar") as archive:
        manifest = archive.extractfile("manifest.json")
        assert manifest is not None
        assert json.load(manifest)[0]["RepoTags"] == [f"edgesync:{VERSION}"]
    shutil.rmtree(folder / "image")
    return f"edgesync:{VERSION}"


@NEEDS_DEBIAN
@NEEDS_DOCKER[0]
@NEEDS_DOCKER[1]
def test_the_image_is_built_runs_read_only_and_turns_healthy(docker: Docker, image: str) -> None:
    docker("network", "create", "edgesync-image")
    options = [*as_in_compose(), "--network=edgesync-image", "--publish=127.0.0.1::9004"]
    # The command is the image's; only how often it runs is changed.
    docker("run", "--detach", "--name=server", "--health-interval=1s", *options, image)
    wait_for(lambda: health(docker, "server") != "starting", "the health check", units=60)
    assert health(docker, "server") == "healthy", docker("logs", "server")
    assert ready_answer(docker, "server").status_code == 200
    assert docker("exec", "server", "id", "-u") == "10001"
    assert docker("exec", "server", "edgesync", "--version") == f"edgesync, version {VERSION}"
    for path in ("/src/file", "/etc/file", "/usr/local/file"):
        refusal = docker("exec", "--user=0", "server", "touch", path, is_refused=True)
        assert "Read-only file system" in refusal
    assert "X-Amz-Signature=" in docker("exec", "server", "python", "-c", USED)
    token = docker("exec", "server", "cat", "/data/admin.token")

    begun = time.monotonic()
    docker("stop", "server")
    assert time.monotonic() - begun < 15
    state = docker.inspect("server")["State"]
    assert (state["Status"], state["ExitCode"], state["OOMKilled"]) == ("exited", 0, False)

    # Without a server the same check fails; with what the volume holds it comes back.
    check = docker.inspect(image)["Config"]["Healthcheck"]["Test"]
    assert check[0] == "CMD"
    alone = ["run", "--rm", *as_in_compose(), "--network=none", f"--entrypoint={check[1]}", image]
    assert "Connection refused" in docker(*alone, *check[2:], is_refused=True)
    docker("start", "server")
    wait_for(lambda: health(docker, "server") == "healthy", "the health check", units=60)
    assert docker("exec", "server", "cat", "/data/admin.token") == token
