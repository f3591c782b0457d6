"""The commands of pages about people, secrets and packages, as a reader types them.

Every command in a block of these pages runs, or stands in `LEFT_OUT` with the reason. The commands
of docs/tour.md and docs/upgrading.md have tests of their own: test_tour.py, test_upgrade.py.
"""

import contextlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from cloud.core.identity_providers import read_providers
from cloud.http.yaml_text import decode_yaml
from cloud.settings_sources import load_settings
from tests.deadlines import UNIT
from tests.end_to_end.conftest import Server, running_server
from tests.plain_http import NO_TLS
from tests.preloaded import run_edgesync
from tests.repo.tracked import ROOT, text_of
from tests.vault import running_vault

FOLDER = ROOT / "docs" / "operations"
PAGES = ("users.md", "roles.md", "secrets.md", "keys.md", "packages.md")
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", flags=re.M | re.S)

LOGIN = "edgesync login https://edgesync.example.com:9004"
CREATE_ANN = "edgesync user create ann --grant '*=viewer' --grant north=operator"
NEW_PASSWORD = "edgesync user password ann"
BROWSER = "a user confirms it in a browser: tests/end_to_end/test_sign_in.py"
RELEASE = "builds all files of a release: tests/end_to_end/test_dist.py"
DEBIAN = "needs a machine of Debian: tests/end_to_end/test_dist.py"
PIPELINE = "the file of a pipeline, which runs in tests/end_to_end/test_pipelines.py"
LEFT_OUT: Mapping[str, str] = {
    f"{LOGIN} --browser": BROWSER,
    f"{LOGIN} --device": BROWSER,
    "# .github/workflows/deploy.yml": PIPELINE,
    "# .gitlab-ci.yml": PIPELINE,
    "openssl rand -base64 32 |"
    " systemd-creds encrypt --name=edgesync.key - /etc/edgesync/edgesync.key.cred": (
        "needs the TPM or the key of a machine that runs systemd"
    ),
    "[Service]": "settings of systemd, which has no part in the tests",
    "EDGESYNC_SIGNING_KEY=~/.ssh/release make dist": RELEASE,
    "apt install ./edgesync_0.2.0_amd64.deb": DEBIAN,
    "apt install ./edgesync-agent_0.2.0_all.deb": DEBIAN,
}
"""Commands, and files by their first line, that do not run here, with the reason."""

PROGRAMS = ("edgesync", "echo", "openssl", "sha256sum", "ssh-keygen")
"""What may run on the machine of the tests."""


class PageBlock(NamedTuple):
    """A block of a page: its *language*, empty for commands, and its *text*."""

    language: str
    text: str

    @property
    def first_line(self) -> str:
        return without_comment(self.text.splitlines()[0])

    @property
    def is_of_commands(self) -> bool:
        return self.language in ("", "sh") and not self.text.startswith("[")


def without_comment(line: str) -> str:
    return re.sub(r"(?<=\S)\s+# .*", "", line).strip()


def blocks(page: str) -> list[PageBlock]:
    return [PageBlock(*found) for found in BLOCK.findall(text_of(FOLDER / page))]


def commands(page: str) -> list[str]:
    """The commands of the page in their order, each in one line, without those left out."""
    joined = "".join(one.text for one in blocks(page) if one.is_of_commands)
    lines = re.sub(r"\\\n\s*", "", joined).splitlines()
    typed = [command for line in lines if (command := without_comment(line))]
    return [command for command in typed if command not in LEFT_OUT]


@dataclass
class PageShell:
    """A shell in *folder*, in which placeholders of the pages are *replaced*.

    *inputs* is what a reader types into a command.
    """

    folder: Path
    replaced: Mapping[str, Callable[[], str]] = field(default_factory=dict)
    inputs: Mapping[str, Callable[[], str]] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        own = {"PATH": path, "HOME": str(self.folder), "no_proxy": "*"}
        own["EDGESYNC_CONTEXTS"] = str(self.folder / "contexts.yaml")
        self.environment = {**own, **self.environment}

    def run(self, command: str) -> str:
        """What it prints; it has to exit with 0."""
        typed = command
        for placeholder, value in self.replaced.items():
            if re.search(rf"(?<!\w){re.escape(placeholder)}(?!\w)", typed):
                typed = typed.replace(placeholder, value())
        words = shlex.split(typed)
        if words[0] == "export":
            for word in words[1:]:
                name, _, content = word.partition("=")
                self.environment[name] = content
            return ""
        assert words[0] in PROGRAMS, f"run it here, or leave it out with a reason: {command}"
        if words[0] == "edgesync":
            typed_in = self.inputs[command]() if command in self.inputs else None
            with contextlib.chdir(self.folder):
                done = run_edgesync(
                    *words[1:], timeout=60 * UNIT, environment=self.environment, typed=typed_in
                )
        else:
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", typed],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=60 * UNIT,
                check=False,
            )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout


def shell_of(server: Server) -> PageShell:
    """A shell on the machine of the server, with the administrator's token."""
    password = "a long password of ann\n"
    token = Path(server.admin_token_file)
    return PageShell(
        server.data_dir.parent,
        replaced={
            "https://edgesync.example.com:9004": lambda: server.api,
            "2027-01-31T00:00:00Z": lambda: f"{datetime.now(UTC) + timedelta(days=30):%FT%TZ}",
            "ID": lambda: session_of_bob(server),
        },
        inputs={
            LOGIN: token.read_text,
            f"{LOGIN} --token": token.read_text,
            CREATE_ANN: lambda: 2 * password,
            NEW_PASSWORD: lambda: 2 * f"another {password}",
        },
        environment={
            "EDGESYNC_URL": server.api,
            "EDGESYNC_TOKEN_FILE": server.admin_token_file,
        },
    )


BOB = {"name": "bob", "password": "a long password of bob"}


def session_of_bob(server: Server) -> str:
    """The id of a session that the user has begun."""
    own = {"X-Edgesync-CSRF": "1", "Origin": server.api}
    with httpx.Client(base_url=server.api, trust_env=False, verify=NO_TLS) as browser:
        browser.post("/login/local", json=BOB, headers=own).raise_for_status()
        session: str = browser.get("/v1/whoami").json()["session"]
    return session


def write_files(page: str, folder: Path) -> list[Path]:
    """The manifests of the page, each with the name of the resource, as its commands name it."""
    written = []
    for _, text in blocks(page):
        if text.startswith("kind: "):
            path = folder / f"{decode_yaml(text.encode())['name']}.yaml"
            path.write_text(text)
            written.append(path)
    return written


def run_page(page: str, shell: PageShell) -> dict[str, str]:
    """What each command of the page prints."""
    return {command: shell.run(command) for command in commands(page)}


def test_what_is_left_out_stands_on_a_page_with_a_reason_that_holds() -> None:
    shown = {one.first_line for page in PAGES for one in blocks(page)}
    text = "".join(text_of(FOLDER / page) for page in PAGES)
    typed = {without_comment(line) for line in text.splitlines()}
    for left_out, reason in LEFT_OUT.items():
        assert left_out in shown | typed, left_out
        for test in re.findall(r"tests/\S+\.py", reason):
            assert (ROOT / test).exists(), reason


def test_every_file_on_the_pages_is_one_that_is_read(tmp_path: Path) -> None:
    for page in PAGES:
        for block in blocks(page):
            if block.is_of_commands or block.first_line in LEFT_OUT:
                continue
            if block.language == "toml":
                file = tmp_path / "settings.toml"
                file.write_text(block.text)
                load_settings({}, {}, file)
            elif block.text.startswith("providers:"):
                read_providers(decode_yaml(block.text.encode()))
            else:  # the test of the page applies it
                assert block.text.startswith("kind: "), block.text


@contextlib.contextmanager
def server_in(folder: Path, *arguments: str, **variables: str) -> Iterator[Server]:
    with running_server(folder / "data", *arguments, **variables) as server:
        yield server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One for the pages about people and secrets, with the settings of secrets.md."""
    folder = tmp_path_factory.mktemp("pages")
    (policy,) = (one.text for one in blocks("secrets.md") if one.language == "toml")
    (folder / "edgesync.toml").write_text(policy)
    sources = folder / "sources" / "default" / "db"
    sources.mkdir(parents=True)
    (sources / "ca.pem").write_text("of the database\n")
    flags = ["--config", str(folder / "edgesync.toml"), "--secret-variable-prefix", "SHOP_"]
    flags += ["--secret-source-dir", str(folder / "sources")]
    with running_vault(folder) as vault:
        vault.put("shop/db", password="of the vault")
        flags += vault.flags()
        variable = {"SHOP_DEFAULT__DB_LICENSE": "of the database"}
        with server_in(folder, *flags, **variable) as server:
            yield server


def test_users(server: Server) -> None:
    old = server.token
    with server.client() as admin:
        admin.post("/v1/users", json={**BOB, "grants": {"*": "viewer"}}).raise_for_status()
    printed = run_page("users.md", shell_of(server))
    assert server.token != old
    assert "state: on" in printed["edgesync admin-token show --data-dir data"]
    assert "otpauth://" in printed["edgesync user totp ann"]
    assert "Logged in to" in printed[LOGIN]
    assert "entries verified" in printed["edgesync audit verify --data-dir data"]


def test_roles(server: Server) -> None:
    shell = shell_of(server)
    write_files("roles.md", shell.folder)
    role = {"name": "shop-manager", "permissions": ["list nodes", "restart nodes"]}
    headers = {"X-Edgesync-Namespace": "retail"}
    with server.client() as admin:
        admin.post("/v1/roles", json=role, headers=headers).raise_for_status()
        printed = run_page("roles.md", shell)
        tokens = admin.get("/v1/tokens?namespace=shop").json()["items"]
    (narrow,) = (one for one in tokens if one["name"] == "reader")
    assert printed["edgesync auth can-i create tokens -n shop"] == "yes\n"
    assert "deployer" in printed["edgesync get roles -n shop"]
    assert narrow["permissions"] == ["read apps/web"]
    assert narrow["previousExpires"]


def test_secrets(server: Server) -> None:
    shell = shell_of(server)
    with server.client() as admin:
        admin.post("/v1/nodes", json={"name": "gate-7"}).raise_for_status()
        for file in write_files("secrets.md", shell.folder):
            shell.run(f"edgesync apply -f {file.name}")
        printed = run_page("secrets.md", shell)
        source = admin.get("/v1/secrets/db").json()["source"]
    assert "SECRETS" in printed["edgesync get nodes -o wide"]
    assert not source.get("error"), source


def test_keys(tmp_path: Path) -> None:
    """The key of a server gets a key from outside, then another, and is replaced at last."""
    shell = PageShell(tmp_path, {"/etc/edgesync/edgesync.toml": lambda: "edgesync.toml"})
    for name in ("edgesync", "new"):
        shell.run(f"openssl rand -base64 32 > {name}.key; chmod 600 {name}.key")
        setting = f'key_encryption_file = "{tmp_path / name}.key"\n'
        (tmp_path / f"{name}.toml").write_text(setting)
    key = tmp_path / "data" / "secrets.key"
    encrypt, change, replace = commands("keys.md")
    with server_in(tmp_path) as server, server.client() as admin:
        body = {"name": "door", "data": {"code": "1234"}}
        admin.post("/v1/secrets", json=body).raise_for_status()
        keys = [key.read_bytes()]
        shell.run(encrypt)
    for config, command in (("edgesync", change), ("new", replace)):
        with server_in(tmp_path, "--config", str(tmp_path / f"{config}.toml")) as server:
            keys.append(key.read_bytes())
            if command == change:
                shell.run(command)
            assert server.stop() == 0
    assert "documents are encrypted" in shell.run(replace)
    keys.append(key.read_bytes())
    with (
        server_in(tmp_path, "--config", str(tmp_path / "new.toml")) as server,
        server.client() as admin,
    ):
        assert admin.get("/v1/secrets/door").json()["data"] == {"code": "1234"}
    assert len(set(keys)) == len(keys)


@pytest.mark.skipif(not shutil.which("ssh-keygen"), reason="needs ssh-keygen")
def test_packages(tmp_path: Path) -> None:
    """The files of a release are verified, as `make dist` signs them."""
    shell = PageShell(tmp_path)
    for prepare in (
        "ssh-keygen -q -t ed25519 -N '' -f release",
        "sha256sum release.pub > SHA256SUMS",
        "ssh-keygen -Y sign -q -n file -f release SHA256SUMS",
    ):
        shell.run(prepare)
    printed = run_page("packages.md", shell)
    assert any(output.startswith("Good ") for output in printed.values())
    assert printed["sha256sum --check SHA256SUMS"] == "release.pub: OK\n"
