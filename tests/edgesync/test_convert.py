"""Compose files as manifests: what they become, what is named as lost, and that it applies."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from edgesync.__main__ import main
from edgesync.compose.source import ComposeError, read_source
from edgesync.compose.values import seconds, short_ports, size
from edgesync.compose.variables import interpolated, read_variables
from tests.edgesync.conftest import Shell
from tests.repo.tracked import ROOT

STACKS = Path(__file__).parent / "compose_files"
ENV = {"GRAFANA_PASSWORD": "p", "DATABASE_PASSWORD": "p"}


def converted(text: str, folder: Path, *words: str, code: int = 0) -> Result:
    file = folder / "compose.yaml"
    file.write_text(text, encoding="utf-8")
    command = ["convert", "compose", str(file), "--name", "a", "--selector", "b=c", *words]
    result = CliRunner(env=ENV).invoke(main, command)
    assert result.exit_code == code, (result.output, result.exception)
    return result


def service_of(text: str, folder: Path) -> dict[str, Any]:
    """The one service `s` with the fields of *text*."""
    result = converted(f"services:\n  s:\n    image: i\n{text}", folder)
    app = list(yaml.safe_load_all(result.stdout))[-1]
    service: dict[str, Any] = app["services"][0]
    return service


def lost(text: str, folder: Path) -> list[str]:
    """The text on standard error, without the file's name."""
    result = converted(f"services:\n  s:\n    image: i\n{text}", folder)
    return [line.partition("compose.yaml:")[2] for line in result.stderr.splitlines()]


@pytest.mark.parametrize(
    ("stack", "more"),
    [
        ("home", ()),
        ("monitoring", ("--profile", "machine")),
        ("blog", ()),
        ("", ()),
        ("", ("one", "two", "--profile", "fleet")),
    ],
)
async def test_what_stacks_become_applies_and_applying_again_changes_nothing(
    shell: Shell, stack: str, more: tuple[str, ...]
) -> None:
    shell.env |= ENV
    file = STACKS / stack / "compose.yaml" if stack else ROOT / "docker-compose.yml"
    command = ("convert", "compose", str(file), "--name", "stack", "--selector", "a=b", *more)
    result = await shell.run(*command)
    manifests = shell.file("stack.yaml", result.stdout)
    await shell.run("apply", "-f", manifests)
    again = await shell.lines("apply", "-f", manifests)
    assert {line[0] for line in again} == {"unchanged"}


@pytest.mark.parametrize("stack", ["home", "monitoring", "blog"])
def test_stacks_become_what_is_kept_as_golden(stack: str, tmp_path: Path) -> None:
    copy = tmp_path / stack
    shutil.copytree(STACKS / stack, copy)
    command = ["convert", "compose", str(copy / "compose.yaml"), "--profile", "*"]
    result = CliRunner(env=ENV).invoke(main, [*command, "--selector", "a=b"])
    assert result.exit_code == 0, result.output
    notes = result.stderr.replace(f"{copy}/", "")
    assert result.stdout == (STACKS / f"{stack}.manifests.yaml").read_text(encoding="utf-8")
    assert notes == (STACKS / f"{stack}.notes.txt").read_text(encoding="utf-8")


HAS_COMPOSE = shutil.which("docker-compose") is not None or bool(os.environ.get("CI"))


def resolved(folder: Path) -> Path:
    """What Docker Compose makes of a file: all that it refers to is in it, with absolute paths."""
    done = subprocess.run(
        ["docker-compose", "--project-name", "blog", "config"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    (folder / "resolved.yaml").write_text(done.stdout, encoding="utf-8")
    return folder / "resolved.yaml"


def manifests(file: Path) -> list[Any]:
    """The manifests of a file, with the app's lists in the order of their names."""
    command = ["convert", "compose", str(file), "--name", "blog", "--selector", "a=b"]
    result = CliRunner(env=ENV).invoke(main, command)
    assert result.exit_code == 0, result.output
    found = list(yaml.safe_load_all(result.stdout))
    for app in found:
        for service in app.get("services", ()):
            service.get("env", []).sort(key=lambda one: one["name"])
            service["volumeMounts"].sort(key=lambda one: one["name"])
        for name in ("services", "volumes"):
            app.get(name, []).sort(key=lambda one: one["name"])
    return sorted(found, key=lambda one: (one["kind"], one["name"]))


@pytest.mark.skipif(not HAS_COMPOSE, reason="needs docker-compose")
def test_a_file_that_compose_has_resolved_becomes_the_same(tmp_path: Path) -> None:
    folder = tmp_path / "blog"
    shutil.copytree(STACKS / "blog", folder)
    (folder / "wordpress").mkdir()
    assert manifests(resolved(folder)) == manifests(folder / "compose.yaml")


@pytest.mark.skipif(not HAS_COMPOSE, reason="needs docker-compose")
def test_what_extends_is_resolved_by_compose(tmp_path: Path) -> None:
    base = "services: {base: {image: 'i:1', environment: {A: '1'}, volumes: ['./c:/c:ro']}}"
    (tmp_path / "base.yaml").write_text(base)
    (tmp_path / "c").write_text("text")
    text = "services: {s: {extends: {file: base.yaml, service: base}, environment: {B: '2'}}}"
    (tmp_path / "docker-compose.yml").write_text(text)
    config, app = sorted(manifests(resolved(tmp_path)), key=lambda one: str(one["kind"] == "App"))
    assert config["data"] == [{"key": "c", "value": {"type": "kv", "value": "text"}}]
    (service,) = app["services"]
    assert service["env"] == [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]


def test_a_restart_word_is_kubernetes_word(tmp_path: Path) -> None:
    assert service_of("    restart: no\n", tmp_path)["restart"] == {"policy": "Never"}
    assert service_of("    restart: on-failure:3\n", tmp_path)["restart"] == {
        "policy": "OnFailure",
        "retry": {"max": 3},
    }


def test_a_health_check_is_a_readiness_probe_and_its_start_period_a_startup_probe(
    tmp_path: Path,
) -> None:
    check = "    healthcheck: {test: curl localhost, interval: 1m, start_period: 90s}\n"
    service = service_of(check, tmp_path)
    command = {"command": ["/bin/sh", "-c", "curl localhost"]}
    assert service["readinessProbe"] == {
        "exec": command,
        "periodSeconds": 60,
        "timeoutSeconds": 30,
        "failureThreshold": 3,
    }
    assert service["startupProbe"]["periodSeconds"] == 5
    assert service["startupProbe"]["failureThreshold"] == 54  # (90 + 60 * 3) / 5
    assert "readinessProbe" not in service_of("    healthcheck: {test: [NONE]}\n", tmp_path)


def test_variables_of_files_are_under_those_that_stand_in_the_service(tmp_path: Path) -> None:
    (tmp_path / "one.env").write_text("A=1\nB=2\n")
    service = service_of("    env_file: one.env\n    environment: {B: 3, C: true}\n", tmp_path)
    assert {one["name"]: one["value"] for one in service["env"]} == {
        "A": "1",
        "B": "3",
        "C": "true",
    }


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("    cap_add: [NET_ADMIN]\n", "4: lost: services.s.cap_add: not carried over"),
        ("    sysctls:\n      a: 1\n", "4: lost: services.s.sysctls: not carried over"),
        ("    deploy:\n      placement: {}\n", "5: lost: services.s.deploy.placement"),
        ("    network_mode: none\n", "4: lost: services.s.network_mode"),
        ("    networks: [back]\n", "4: differs: services.s.networks: all services of the app"),
        ("    build: .\n", "4: lost: services.s.build: nodes build nothing: push i to"),
        ("    volumes:\n    - /dev:/d:rslave\n", "5: lost: services.s.volumes[0]: not carried"),
        ("    ports:\n    - {target: 1, mode: host}\n", "5: lost: services.s.ports[0].mode"),
        ("    pull_policy: build\n", "4: lost: services.s.pull_policy: not carried over"),
    ],
)
def test_what_is_not_carried_over_is_named_with_its_line(
    text: str, note: str, tmp_path: Path
) -> None:
    assert any(line.startswith(note) for line in lost(text, tmp_path))


def test_strict_ends_with_1_if_something_is_lost(tmp_path: Path) -> None:
    text = "services:\n  s:\n    image: i\n    cap_add: [A]\n"
    converted(text, tmp_path, "--strict", code=1)
    converted(text.partition("    cap_add")[0], tmp_path, "--strict")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("services: {s: {}}", "compose.yaml:1: services.s: needs an image"),
        ("services: {}", "compose.yaml:1: services: no service is switched on"),
        ("services:\n  S_1: {image: i}\n", "compose.yaml:2: services.S_1: rename it to 's-1'"),
        ("services: [", "compose.yaml:2: did not find"),
        ("a: &a [*a]", "compose.yaml:1: too many values"),
        ("services:\n  s: {image: '${A:?set it}'}\n", "compose.yaml:2: variable A is required"),
        ("services:\n  s: {image: '${A'}\n", "compose.yaml:2: no closing brace"),
        (
            "services:\n  s:\n    image: i\n    ports: ['x:y']\n",
            "compose.yaml:4: services.s.ports: 'x:y' is not a port",
        ),
        (
            "services:\n  a: {image: i, depends_on: [b]}\n  b: {image: i, depends_on: [a]}\n",
            "services wait for each other",
        ),
        ("services:\n  a: {image: i, volumes: ['v:/v']}\n", "volume 'v' is not in the top-level"),
        ("services:\n  a: {image: i, env_file: no.env}\n", "No such file"),
        ("include: [b.yaml]\nservices: {}\n", "docker compose config"),
        ("services:\n  a: {image: i, restart: x}\n", "'x' is none of: "),
        ("services:\n  a: {image: i, environment: 3}\n", "expected a mapping"),
    ],
)
def test_what_cannot_be_converted_is_named_with_its_line(
    text: str, complaint: str, tmp_path: Path
) -> None:
    assert complaint in converted(text, tmp_path, code=1).stderr


def test_a_directory_that_is_only_read_becomes_a_config_of_its_text_files(tmp_path: Path) -> None:
    folder = tmp_path / "conf.d"
    (folder / "inner").mkdir(parents=True)
    (folder / "a.conf").write_text("a")
    (folder / "b.bin").write_bytes(b"\xff\xfe")
    text = "services:\n  s:\n    image: i\n    volumes: ['./conf.d:/etc/conf.d:ro']\n"
    result = converted(text, tmp_path)
    config, app = yaml.safe_load_all(result.stdout)
    assert [item["key"] for item in config["data"]] == ["a.conf"]
    assert app["services"][0]["volumeMounts"][0]["mountPath"] == "/etc/conf.d"
    assert "b.bin is not UTF-8 text" in result.stderr
    assert "inner: a config has no directories" in result.stderr


@given(st.text())
def test_any_text_is_interpolated_or_refused(text: str) -> None:
    try:
        interpolated(text, {"A": "1"})
    except ValueError:
        pass
    else:
        assert interpolated(text.replace("$", "$$"), {}) == text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("$A ${A}", "1 1"),
        ("${B}", ""),
        ("${B-x} ${E-x} ${E:-x}", "x  x"),
        ("${B:-${A}2}", "12"),
        ("${A:+y}${B+n}", "y"),
        ("$$A", "$A"),
    ],
)
def test_references_are_replaced_by_the_specification(text: str, value: str) -> None:
    assert interpolated(text, {"A": "1", "E": ""}) == value


def test_env_files_have_comments_quotes_and_references() -> None:
    text = "# c\nA=1\nexport B=\"x ${A}\\n\"\nC='$A' # c\nD= y # c\nE\n"
    assert read_variables(text, {}) == {"A": "1", "B": "x 1\n", "C": "$A", "D": "y", "E": None}


def test_durations_sizes_and_ports_are_read() -> None:
    assert (seconds("1m30s"), seconds("500ms"), seconds("1000000")) == (90, 0.5, 1)
    assert (size("512m"), size("1.5gb"), size("100")) == ("512Mi", "1610612736", "100")
    assert [one.manifest() for one in short_ports("127.0.0.1:80-81:8080-8081/udp")] == [
        {"containerPort": 8080, "hostPort": 80, "hostIP": "127.0.0.1", "protocol": "UDP"},
        {"containerPort": 8081, "hostPort": 81, "hostIP": "127.0.0.1", "protocol": "UDP"},
    ]
    for text in ("", "0", "80:90:100:1", "1-2:1-3", "9-8", "70000"):
        with pytest.raises(ValueError, match=r"port|lengths"):
            list(short_ports(text))


@given(st.binary(max_size=200))
def test_no_content_of_a_file_ends_in_anything_but_an_error_with_its_place(content: bytes) -> None:
    text = content.decode("utf-8", errors="replace")
    try:
        source = read_source(Path("f"), text, lambda value: value)
    except (ComposeError, RecursionError):
        return
    assert isinstance(source.data, dict)
