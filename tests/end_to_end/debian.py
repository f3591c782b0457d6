"""A file system of Debian for tests: the base of the image, and a machine for Debian packages.

It is made of Debian's packages from where apt of this machine has them, unpacked but not
configured: dpkg finds them as installed.
"""

import os
import shutil
import stat
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

from tests.deadlines import UNIT
from tests.repo.tracked import ROOT

_MISSING = [name for name in ("apt-get", "dpkg") if shutil.which(name) is None]
_MISSING += [] if os.geteuid() == 0 else ["root"]
NEEDS_DEBIAN = pytest.mark.skipif(
    bool(_MISSING) and not os.environ.get("CI"), reason=f"needs {', '.join(_MISSING)}"
)
# Essential packages are not among the dependencies of others.
_PACKAGES = (
    *("base-files", "base-passwd", "coreutils", "dash", "findutils", "libc-bin", "login", "passwd"),
    *("dpkg", "init-system-helpers", "perl-base", "usr-is-merged"),
    *("python3", "python-is-python3", "openssl", "curl", "grep"),
)
_PIP = '#!/bin/sh\nexec python -m pip "$@"\n'
_PIP_SETTINGS = "[global]\nno-index = 1\nfind-links = /wheels\nbreak-system-packages = 1\n"
_UNPACK = """
cd "$0"
for package in var/cache/apt/archives/*.deb; do
    dpkg-deb --fsys-tarfile "$package" |
        tar -x --keep-directory-symlink --exclude=./usr/share/{doc,locale,man}
    dpkg-deb --field "$package" | sed /^Conffiles:/d >> var/lib/dpkg/status
    printf 'Status: install ok installed\\n\\n' >> var/lib/dpkg/status
    rm "$package"
done
"""


def make_debian(folder: Path) -> None:
    """Unpack the file system into *folder*; from the mirror of Debian that apt knows here."""
    for name in ("bin", "lib", "lib64", "sbin"):
        (folder / "usr" / name).mkdir(parents=True)
        (folder / name).symlink_to(f"usr/{name}")
    packages, status = folder / "var/cache/apt/archives", folder / "var/lib/dpkg/status"
    for place in (packages / "partial", status.parent):
        place.mkdir(parents=True)
    status.touch()
    command = ["apt-get", "--quiet=2", "--yes", "--download-only", "--no-install-recommends"]
    for option in (
        "APT::Sandbox::User=root",
        f"Dir::Cache::archives={packages}",
        f"Dir::State::status={status}",
    ):
        command.append(f"--option={option}")
    output(*command, "install", *_PACKAGES)
    output("bash", "-euo", "pipefail", "-c", _UNPACK, folder)
    for name in ("passwd", "group"):  # what the package does when it is configured
        shutil.copy(folder / f"usr/share/base-passwd/{name}.master", folder / "etc" / name)


def add_pip(folder: Path) -> None:
    """Add the pip that is here, with the wheels of requirements/image.txt and nothing else."""
    [python] = folder.glob("usr/bin/python3.*")
    _download_wheels(folder / "wheels", python.name.removeprefix("python"))
    # With what is compiled of it, where the Python is the same.
    shutil.copytree(str(files("pip")), folder / "usr/lib/python3/dist-packages/pip")
    (folder / "etc/pip.conf").write_text(_PIP_SETTINGS)
    (folder / "usr/bin/pip").write_text(_PIP)
    (folder / "usr/bin/pip").chmod(0o755)


def _download_wheels(folder: Path, version: str) -> None:
    """What requirements/image.txt pins, for a version of Python."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--require-hashes"]
    # The build of the image fails if one is missing.
    command += ["--no-deps", "--no-cache-dir", "--disable-pip-version-check"]
    command += ["--only-binary", ":all:", "--python-version", version, "-d", str(folder)]
    output(*command, "-r", str(ROOT / "requirements/image.txt"))


def output(*command: str | Path, given: str = "") -> str:
    """What a command prints; it has to succeed."""
    done = subprocess.run(
        command, input=given, capture_output=True, text=True, check=False, timeout=200 * UNIT
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return done.stdout


class DebianMachine:
    """The file system in a directory; packages are installed there, and commands run there."""

    def __init__(self, debian: Path, folder: Path) -> None:
        self.root = folder
        output("cp", "--archive", debian, folder)
        for name, number in (("null", 3), ("zero", 5), ("random", 8), ("urandom", 9)):
            os.mknod(folder / "dev" / name, stat.S_IFCHR | 0o666, os.makedev(1, number))
            (folder / "dev" / name).chmod(0o666)

    def dpkg(self, *arguments: str) -> str:
        """`dpkg` of this machine, for the other file system; its scripts run there, offline."""
        options = ["--force-unsafe-io", f"--root={self.root}"]  # it is lost anyway
        return output("unshare", "--net", "dpkg", *options, *arguments)

    def run(self, *command: str) -> str:
        """What a command prints there, as root."""
        return output("unshare", f"--mount-proc={self.root}/proc", "chroot", self.root, *command)
