"""docker-compose.yml: hardened, and wired as scripts/fleet-up, which another test runs."""

import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from typing import Any

import click
import pytest
import yaml

from cloud.core.broker_urls import broker_address
from cloud.settings_sources import load_settings
from edgesync.__main__ import main
from tests.repo.tracked import ROOT, text_of

EDGESYNC = "edgesync:0.2.0"
SERVERS = ("one", "two")


def fleet_up() -> Any:
    loader = SourceFileLoader("fleet_up", str(ROOT / "scripts/fleet-up"))
    spec = spec_from_loader(loader.name, loader)
    assert spec is not None
    module = module_from_spec(spec)
    loader.exec_module(module)
    return module


def compose() -> Mapping[str, Any]:
    """The file with the default of each variable."""
    text = re.sub(r"\$\{\w+:-(.*?)\}", r"\1", text_of(ROOT / "docker-compose.yml"))
    read: Mapping[str, Any] = yaml.safe_load(text)
    return read


SERVICES: Mapping[str, Any] = compose()["services"]


def broker_config(arguments: list[str]) -> Mapping[str, Any]:
    """What `edgesync` understands by *arguments*, which name a command of a command."""
    command: click.Command = main
    while isinstance(command, click.Group):
        found = command.get_command(click.Context(command), arguments[0])
        assert found is not None, arguments[0]
        command, arguments = found, arguments[1:]
    return command.make_context("config", list(arguments)).params


def wanted_of_broker(arguments: list[str]) -> Mapping[str, Any]:
    own = {"data_dir", "out", "names", "user", "server_address", "node_port", "server_port"}
    return {key: value for key, value in broker_config(arguments).items() if key not in own}


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_can_do_as_little_as_it_needs(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert re.fullmatch(r"[a-z-]+:\d+\.\d+[\w.-]*", service["image"]), "no version"
    assert "privileged" not in service
    if service["image"] == EDGESYNC:
        assert "user" not in service  # that of the image
    else:
        assert service["user"] not in {"root", "0", "0:0"}
    volumes = [volume.partition(":")[0] for volume in service["volumes"]]
    assert set(volumes) <= set(compose()["volumes"])


def test_the_image_is_not_root_and_can_reach_postgres() -> None:
    lines = text_of(ROOT / "Dockerfile").splitlines()
    assert lines.index("USER edgesync") < next(
        number for number, line in enumerate(lines) if line.startswith("ENTRYPOINT")
    )
    installs = [line for line in lines if line.startswith("RUN pip install")]
    assert "--require-hashes -r requirements/image.txt" in installs[0]
    assert all("--no-deps --no-build-isolation" in line for line in installs[1:])
    assert "psycopg-binary==" in text_of(ROOT / "requirements/image.txt")


def test_the_image_asks_whether_it_is_ready_as_compose_does() -> None:
    found = re.search(r"^HEALTHCHECK (.*?) CMD (.*)$", text_of(ROOT / "Dockerfile"), flags=re.M)
    assert found is not None
    given = dict(option.removeprefix("--").split("=") for option in found[1].split())
    check = {key.replace("-", "_"): value for key, value in given.items()}
    for name in (*SERVERS, "edgesync"):
        wanted = SERVICES[name]["healthcheck"]
        own = {key: str(value) for key, value in wanted.items() if key != "test"}
        assert (check, ["CMD", *json.loads(found[2])]) == (own, wanted["test"])


def test_a_digest_can_be_given_for_each_base_image() -> None:
    digest = "@sha256:" + "0" * 64
    assert re.findall(r"^FROM (.*)$", text_of(ROOT / "Dockerfile"), flags=re.M) == ["${BASE}"]
    [base] = re.findall(r"^ARG BASE=(.*)$", text_of(ROOT / "Dockerfile"), flags=re.M)
    assert re.fullmatch(r"[a-z]+:\d+\.\d+\.\d+[\w.-]*\$\{BASE_DIGEST\}", base)
    text = text_of(ROOT / "docker-compose.yml")
    given = yaml.safe_load(re.sub(r"\$\{\w+_DIGEST:-\}", digest, text))["services"]
    for service in given.values():
        if service["image"] == EDGESYNC:
            assert service["build"]["args"] == {"BASE_DIGEST": digest}
        else:
            assert service["image"].endswith(digest)


def test_nothing_but_the_one_service_starts_without_a_profile() -> None:
    assert [name for name, service in SERVICES.items() if "profiles" not in service] == ["edgesync"]
    others = [service["profiles"] for name, service in SERVICES.items() if name != "edgesync"]
    assert others == [["fleet"]] * len(others)


@pytest.mark.parametrize("name", [*SERVERS, "edgesync"])
def test_every_variable_is_a_setting_and_every_server_has_a_health_check(name: str) -> None:
    load_settings({}, SERVICES[name]["environment"], None)
    assert "/readyz" in " ".join(SERVICES[name]["healthcheck"]["test"])


@pytest.mark.parametrize("name", SERVERS)
def test_servers_get_the_settings_of_fleet_up(name: str) -> None:
    own = fleet_up().server_settings(name, database="", broker="", broker_for_nodes="", crl_file="")
    environment = SERVICES[name]["environment"]
    assert set(environment) == set(own)
    assert environment["EDGESYNC_SERVER_ID"] == own["EDGESYNC_SERVER_ID"] == name
    assert {key: environment[key] for key in environment if key != "EDGESYNC_SERVER_ID"} == {
        key: SERVICES["one"]["environment"][key]
        for key in environment
        if key != "EDGESYNC_SERVER_ID"
    }


def test_the_broker_is_configured_as_fleet_up_does_and_found_where_servers_look() -> None:
    arguments = SERVICES["mosquitto-config"]["command"]
    config = broker_config(arguments)
    assert wanted_of_broker(arguments) == wanted_of_broker(
        fleet_up().broker_arguments("data", "out", 1, 2)
    )
    settings = load_settings({}, SERVICES["one"]["environment"], None)
    host, port = broker_address("broker", settings.broker)
    assert host in SERVICES
    assert host in config["names"]
    assert port == config["server_port"]
    _, port = broker_address("broker_for_nodes", settings.broker_for_nodes)
    assert f"{port}:{config['node_port']}" in SERVICES[host]["ports"]
    assert str(settings.crl_file) == f"{config['out']}/crl.pem"
    for name in ("mosquitto-config", host, *SERVERS):
        assert f"broker:{config['out']}" in SERVICES[name]["volumes"]
    assert SERVICES[host]["command"] == ["-c", f"{config['out']}/mosquitto.conf"]


def test_the_second_server_gets_the_keys_of_the_first() -> None:
    keys = SERVICES["keys"]
    [script] = keys["command"]
    assert set(fleet_up().KEYS) <= set(re.split(r"\s+", script))
    assert keys["volumes"] == ["one:/first:ro", "two:/data"]
    assert "keys" in SERVICES["two"]["depends_on"]


@pytest.mark.parametrize("arguments", [(), ("--profile", "fleet")])
def test_docker_reads_it(arguments: tuple[str, ...]) -> None:
    docker = shutil.which("docker")
    if (
        docker is None
        or subprocess.run(
            [docker, "compose", "version"],
            capture_output=True,
            check=False,
            timeout=60,
        ).returncode
    ):
        pytest.skip("docker compose is not installed")
    command = [docker, "compose", *arguments, "config", "--quiet"]
    subprocess.run(command, cwd=ROOT, check=True, timeout=60)
