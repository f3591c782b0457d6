"""A file system of Debian for tests: the base of the image, and a machine for Debian packages.

It is made of Debian's packages from where apt of this machine has them, unpacked but not
configured: dpkg finds them as installed.
"""

import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.deadlines import UNIT
from tests.repo.tracked import ROOT

_MISSING = [name for name in ("mmdebstrap", "apt-get", "dpkg") if shutil.which(name) is None]
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
_MASTER = "./usr/share/base-passwd/{}.master"
_PIP = '#!/bin/sh\nexec python "$(echo /wheels/pip-*.whl)/pip" "$@"\n'
_PIP_SETTINGS = "[global]\nno-index = 1\nfind-links = /wheels\nbreak-system-packages = 1\n"
_LIST_AS_INSTALLED = """
for package in "$1"/var/cache/apt/archives/*.deb; do
    dpkg-deb --field "$package" | sed /^Conffiles:/d
    printf 'Status: install ok installed\\n\\n'
done > "$1/var/lib/dpkg/status"
rm -r "$1/usr/share/doc" "$1/usr/share/locale" "$1/usr/share/man"
"""


def make_debian(archive: Path) -> None:
    """Write the file system as a tar; from the mirror of Debian that apt knows here."""
    line = "deb $(REPO_URI) $(RELEASE) $(COMPONENT)"
    chosen = ["Created-By: Packages", "Origin: Debian"]
    sources = output("apt-get", "indextargets", "--format", line, *chosen)
    assert sources.strip(), "apt knows nothing of Debian: apt-get update"
    settings = archive.with_name("apt.conf")
    wanted = ("http", "https", "Check-Valid-Until", "Check-Date")
    settings.write_text(output("apt-config", "dump", *(f"Acquire::{one}" for one in wanted)))
    command = ["mmdebstrap", "--quiet", "--variant=extract", f"--include={','.join(_PACKAGES)}"]
    hook = archive.with_name("hook.sh")
    hook.write_text(f"#!/bin/sh\nset -e\n{_LIST_AS_INSTALLED}")
    hook.chmod(0o755)
    command += [f"--aptopt={settings}", f"--extract-hook={hook}"]
    output(*command, "", str(archive), "-", given=sources)
    with tarfile.open(archive, "r:") as files:
        # What the package does when it is configured.
        masters = {name: files.extractfile(_MASTER.format(name)) for name in ("passwd", "group")}
        users = {name: file.read() for name, file in masters.items() if file is not None}
    with tarfile.open(archive, "a:") as files:
        for name, content in users.items():
            _add_file(files, f"etc/{name}", content)


def add_pip(archive: Path) -> None:
    """Add a pip that has the wheels of requirements/image.txt and nothing else."""
    wheels = archive.with_name("wheels")
    with tarfile.open(archive, "r:") as files:
        names = " ".join(entry.name for entry in files)
    version = re.search(r"\./usr/bin/python(3\.\d+)\b", names)
    assert version
    _download_wheels(wheels, version[1])
    with tarfile.open(archive, "a:") as files:
        files.add(wheels, "wheels")
        _add_file(files, "etc/pip.conf", _PIP_SETTINGS.encode())
        _add_file(files, "usr/local/bin/pip", _PIP.encode(), mode=0o755)


def _download_wheels(folder: Path, version: str) -> None:
    """What requirements/image.txt pins, for a version of Python."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--require-hashes"]
    # The build of the image fails if one is missing.
    command += ["--no-deps", "--no-cache-dir", "--disable-pip-version-check"]
    command += ["--only-binary", ":all:", "--python-version", version, "-d", str(folder)]
    output(*command, "-r", str(ROOT / "requirements/image.txt"))


def _add_file(files: tarfile.TarFile, name: str, content: bytes, mode: int = 0o644) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    files.addfile(entry, io.BytesIO(content))


def output(*command: str | Path, given: str = "") -> str:
    """What a command prints; it has to succeed."""
    done = subprocess.run(
        command, input=given, capture_output=True, text=True, check=False, timeout=200 * UNIT
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return done.stdout


class DebianMachine:
    """The file system in a directory; packages are installed there, and commands run there."""

    def __init__(self, archive: Path, folder: Path) -> None:
        self.root = folder
        folder.mkdir()
        output("tar", "-C", str(folder), "-xf", str(archive))

    def dpkg(self, *arguments: str) -> str:
        """`dpkg` of this machine, for the other file system; its scripts run there, offline."""
        options = ["--force-unsafe-io", f"--root={self.root}"]  # it is lost anyway
        return output("unshare", "--net", "dpkg", *options, *arguments)

    def run(self, *command: str) -> str:
        """What a command prints there, as root."""
        return output("unshare", f"--mount-proc={self.root}/proc", "chroot", self.root, *command)
