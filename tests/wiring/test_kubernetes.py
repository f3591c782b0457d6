"""deploy/kubernetes: valid, hardened, and with settings that there are.

The API of Kubernetes is in tests/golden/kubernetes.json, so that this needs no network. The overlay
is built by kubectl where that is installed; its files are checked anyway.
"""

import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from cloud.settings_sources import load_settings
from cloud.store.permissions import directory_trouble, secret_file_trouble
from edgesync.admin.serve import serve
from tests.repo.test_version import FALLBACK
from tests.repo.tracked import ROOT, text_of

MANIFESTS = ROOT / "deploy/kubernetes"
BUILDS = ("base", "overlays/servers")
SCHEMA = json.loads(text_of(ROOT / "tests/golden/kubernetes.json"))
PATCHES = {"server.yaml", "nodes.yaml"}
"""Files of the overlay that are parts of resources."""


def resources(name: str) -> Iterator[Any]:
    """What the files of a directory describe, without patches."""
    folder = MANIFESTS / name
    for file in yaml.safe_load(text_of(folder / "kustomization.yaml"))["resources"]:
        if (folder / file).is_dir():
            yield from resources(str(Path(name, file)))
        else:
            yield from yaml.safe_load_all(text_of(folder / file))


def patch(name: str) -> Any:
    return yaml.safe_load(text_of(MANIFESTS / "overlays/servers" / name))


def faults(resource: Mapping[str, Any], *, is_part: bool = False) -> list[str]:
    """What the API of Kubernetes would refuse; a part may lack required fields."""
    kind = SCHEMA["kinds"][f"{resource['apiVersion']} {resource['kind']}"]
    definitions = SCHEMA["$defs"]
    if is_part:
        definitions = {
            name: {key: value for key, value in one.items() if key != "required"}
            for name, one in definitions.items()
        }
    validator = jsonschema_rs.validator_for({**kind, "$defs": definitions})
    return [f"{error.instance_path}: {error.message}" for error in validator.iter_errors(resource)]


def labelled(resource: Any) -> Any:
    """A resource with the selector that kustomize adds."""
    labels = {"app.kubernetes.io/name": "edgesync"}
    if resource["kind"] == "StatefulSet":
        resource["spec"]["selector"] = {"matchLabels": labels}
    return resource


@pytest.mark.parametrize("name", BUILDS)
def test_kubernetes_takes_every_resource(name: str) -> None:
    found = [labelled(one) for one in resources(name)]
    assert {one["kind"] for one in found} >= {"StatefulSet", "Service"}
    assert [fault for one in found for fault in faults(one)] == []


def test_kubernetes_takes_every_patch() -> None:
    parts = [patch(name) for name in sorted(PATCHES)]
    [port] = parts[0]["spec"]["ports"]
    assert port.pop("$patch") == "delete"
    assert [fault for one in parts for fault in faults(one, is_part=True)] == []
    listed = yaml.safe_load(text_of(MANIFESTS / "overlays/servers/kustomization.yaml"))["patches"]
    assert {one["path"] for one in listed} == PATCHES


def test_a_field_that_there_is_not_or_of_another_type_is_found() -> None:
    [server] = [labelled(one) for one in resources("base") if one["kind"] == "StatefulSet"]
    server["spec"]["replicas"] = "1"
    server["spec"]["template"]["spec"]["containers"][0]["image_"] = "x"
    assert len(faults(server)) == 2


def built(name: str) -> list[Any]:
    program = shutil.which("kubectl")
    if program is None:
        pytest.skip("kubectl is not installed")
    command = [program, "kustomize", str(MANIFESTS / name)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return list(yaml.safe_load_all(done.stdout))


@pytest.mark.parametrize("name", BUILDS)
def test_what_kustomize_builds_is_taken_and_has_one_version(name: str) -> None:
    found = built(name)
    assert [fault for one in found for fault in faults(one)] == []
    [server] = [one["spec"]["template"]["spec"] for one in found if one["kind"] == "StatefulSet"]
    containers = [*server.get("initContainers", ()), *server["containers"]]
    assert {one["image"] for one in containers} == {f"edgesync:{FALLBACK}"}


@pytest.mark.parametrize("name", BUILDS)
def test_the_image_has_the_newest_version(name: str) -> None:
    images = yaml.safe_load(text_of(MANIFESTS / name / "kustomization.yaml"))["images"]
    assert images == [{"name": "edgesync", "newTag": FALLBACK}]


def test_a_container_can_do_as_little_as_it_needs() -> None:
    [server] = [one for one in resources("base") if one["kind"] == "StatefulSet"]
    pod = server["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert f"--uid {pod['securityContext']['runAsUser']} " in text_of(ROOT / "Dockerfile")
    assert pod["automountServiceAccountToken"] is False
    added = patch("server.yaml")["spec"]["template"]["spec"]["initContainers"]
    for container in (*pod["containers"], *added):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


def test_a_new_server_begins_with_the_keys_of_all(tmp_path: Path) -> None:
    """The volume is writable for its group, as Kubernetes makes it."""
    data, keys = tmp_path / "data", tmp_path / "keys"
    data.mkdir(mode=0o770)
    (keys / "ca").mkdir(parents=True, mode=0o775)
    for name in ("ca/root.pem", "secrets.key"):
        (keys / name).write_text(name)
        (keys / name).chmod(0o664)
    command = ["tar", "-C", str(keys), "-cf", str(keys / "keys.tar"), "ca", "secrets.key"]
    subprocess.run(command, check=True, timeout=60)
    [container] = patch("server.yaml")["spec"]["template"]["spec"]["initContainers"]
    *shell, script = container["command"]
    script = script.replace("/keys/", f"{keys}/").replace(" /data", f" {data}")
    for _ in range(2):  # also when it starts again
        subprocess.run([*shell, script], check=True, timeout=60)
    for folder in (data / "edgesync", data / "edgesync" / "ca"):
        assert directory_trouble(folder) == ""
    assert secret_file_trouble(data / "edgesync" / "secrets.key") == ""
    assert (data / "edgesync" / "ca" / "root.pem").read_text() == "ca/root.pem"
    assert [one.name for one in data.iterdir()] == ["edgesync"]


def test_arguments_and_variables_are_those_of_the_server() -> None:
    [server] = [one for one in resources("base") if one["kind"] == "StatefulSet"]
    [container] = server["spec"]["template"]["spec"]["containers"]
    command, *arguments = container["args"]
    assert command == "serve"
    settings = serve.make_context("serve", list(arguments), resilient_parsing=True).params
    assert settings["data_dir"].is_relative_to(container["volumeMounts"][0]["mountPath"])
    exposed = {str(port) for port in (one["containerPort"] for one in container["ports"])}
    assert f"EXPOSE {' '.join(sorted(exposed, key=int))}\n" in text_of(ROOT / "Dockerfile")
    [maps] = yaml.safe_load(text_of(MANIFESTS / "base/kustomization.yaml"))["configMapGenerator"]
    variables = dict(one.split("=", 1) for one in maps["literals"])
    [server] = patch("server.yaml")["spec"]["template"]["spec"]["containers"]
    variables |= {one["name"]: "edgesync-0" for one in server["env"]}
    assert load_settings({}, variables, None).server_id == "edgesync-0"
