"""The pipelines of docs/operations/roles.md, run against a server and an identity provider."""

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from cloud.core.identity_providers import read_providers
from cloud.http.yaml_text import decode_yaml
from tests.deadlines import UNIT
from tests.identity_provider import SignInServer, sign_in_server
from tests.repo.tracked import ROOT

PAGE = (ROOT / "docs/operations/roles.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
APP = """
kind: App
name: web
selector: till
services:
  - name: web
    image: nginx:1.30
"""


def example(start: str) -> Any:
    """The example of the page that begins so."""
    (text,) = [one for one in EXAMPLES if one.startswith(start)]
    return decode_yaml(text.encode())


@contextmanager
def administrator(world: SignInServer) -> Iterator[httpx.Client]:
    with world.server.client() as client:
        client.headers["X-Edgesync-Namespace"] = "shop"
        yield client


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SignInServer]:
    with sign_in_server(tmp_path_factory.mktemp("pipelines")) as world:
        role = {key: value for key, value in example("kind: Role").items() if key != "kind"}
        with administrator(world) as admin:
            admin.post("/v1/roles", json=role).raise_for_status()
            for name in ("web", "other"):
                app = {**decode_yaml(APP.encode()), "name": name}
                del app["kind"]
                admin.post("/v1/apps", json=app).raise_for_status()
        yield world


def run(script: str, folder: Path, url: str, environ: Mapping[str, str]) -> str:
    """Run the *script* of a job in *folder*, with web.yaml in it; what it printed."""
    bin_of = Path(sys.executable).parent
    path = f"{bin_of}{os.pathsep}{os.environ['PATH']}"
    clean = {"PATH": path, "HOME": str(folder), "EDGESYNC_URL": url, "no_proxy": "*", **environ}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env=clean,
        capture_output=True,
        text=True,
        timeout=60 * UNIT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def check_deployed(world: SignInServer, folder: Path, script: str, environ: dict[str, str]) -> None:
    """The pipeline gives the app the image of a new web.yaml, and may do nothing else."""
    image = f"nginx:{folder.name}"
    (folder / "web.yaml").write_text(APP.replace("nginx:1.30", image))
    assert run(script, folder, world.server.api, environ).startswith("yes\n")
    with administrator(world) as admin:
        assert admin.get("/v1/apps/web").json()["services"][0]["image"] == image
        (entry, *_) = admin.get("/v1/audit?action=app.update").json()["items"]
    assert entry["actor"]["name"] == "other:example/shop"
    (folder / "web.yaml").write_text(APP.replace("name: web", "name: other", 1))
    with pytest.raises(AssertionError, match="needs permission update apps/other"):
        run(script, folder, world.server.api, environ)


@contextmanager
def token_service(token: str) -> Iterator[str]:
    """What GitHub runs for a job: it answers with the *token* for the audience."""

    class TokenHandler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            is_right = (
                self.headers["Authorization"] == "Bearer of the run"
                and httpx.URL(self.path).params["audience"] == "https://edgesync.example.com"
            )
            body = json.dumps({"value": token} if is_right else {}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing is printed."""

    with ThreadingHTTPServer(("127.0.0.1", 0), TokenHandler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/token?api-version=2.0"
        finally:
            server.shutdown()
            thread.join(timeout=10 * UNIT)


def test_a_job_of_github_actions_deploys(world: SignInServer, tmp_path: Path) -> None:
    workflow = example("# .github/workflows/deploy.yml")
    assert workflow["permissions"]["id-token"] == "write"
    (step,) = [one for one in workflow["jobs"]["deploy"]["steps"] if one.get("name") == "deploy"]
    script = step["run"]
    with token_service(world.id_token("other", "ci")) as url:
        environ = {
            "ACTIONS_ID_TOKEN_REQUEST_URL": url,
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "of the run",
        }
        check_deployed(world, tmp_path, script, environ)


def test_a_job_of_gitlab_deploys(world: SignInServer, tmp_path: Path) -> None:
    job = example("# .gitlab-ci.yml")["deploy"]
    ((variable, asked),) = job["id_tokens"].items()
    assert asked == {"aud": "https://edgesync.example.com"}
    token = world.id_token("other", "ci")
    check_deployed(world, tmp_path, "\n".join(job["script"]), {variable: token})


def test_the_providers_of_the_page_are_read_and_give_the_role_of_the_page() -> None:
    github, gitlab = read_providers(example("providers:"))
    role = example("kind: Role")["name"]
    claims = {"repository": "example/shop", "ref": "refs/heads/main"}
    assert github.grants(claims) == {"shop": role}
    claims = {"project_path": "example/shop", "ref": "main", "ref_protected": "true"}
    assert gitlab.grants(claims) == {"shop": role}
    assert all(one.exchange and not one.sign_in for one in (github, gitlab))
