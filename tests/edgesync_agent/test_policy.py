"""What the owner of a machine lets the server do on it."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from edgesync_agent.policy import Policy, PolicyFile, policy_file, policy_of
from edgesync_agent.spec import (
    NATIVE,
    AppDefinition,
    DeviceDefinition,
    MountDefinition,
    ServiceDefinition,
    VolumeDefinition,
)
from edgesync_agent.toml import TomlError

SERVICE = ServiceDefinition("web", image="registry.example.com/web:1")
APP = AppDefinition("web", "1", services=(SERVICE,))


def app_with(path: str = "", mode: str = "kube", **service: object) -> AppDefinition:
    mounts = (MountDefinition("data", "/data"),) if path else ()
    changed = replace(SERVICE, mounts=mounts, **service)  # type: ignore[arg-type]
    volumes = (VolumeDefinition("data", "hostPath", path),) if path else ()
    return AppDefinition("web", "1", mode=mode, services=(changed,), volumes=volumes)


def test_without_a_file_everything_is_allowed(tmp_path: Path) -> None:
    policy = PolicyFile(tmp_path / "agent.toml").current()
    assert policy == Policy()
    every = app_with("/etc", privileged=True, host_network=True)
    assert policy.refusal(every) == ""
    assert policy.refuses_command("restart") == ""


@pytest.mark.parametrize(
    ("settings", "app", "what"),
    [
        ({"privileged": False}, app_with(privileged=True), "privileged"),
        ({"host-network": False}, app_with(host_network=True), "host-network"),
        ({"host-paths": []}, app_with("/srv"), "/srv"),
        ({"host-paths": ["/srv/data"]}, app_with("/srv"), "/srv"),
        ({"host-paths": ["/srv/data"]}, app_with("/srv/data2"), "/srv/data2"),
        ({"host-paths": ["/srv/data"]}, app_with("/srv/data/../x"), "host-paths"),
        ({"devices": []}, app_with(devices=(DeviceDefinition("/dev/kvm"),)), "/dev/kvm"),
        ({"images": ["quay.io/"]}, APP, "registry.example.com/web:1"),
        ({"containers": False}, APP, "containers"),
        ({"host-processes": False}, app_with(mode=NATIVE), "host-processes"),
    ],
)
def test_what_the_owner_refuses_is_refused_by_name(
    settings: dict[str, object], app: AppDefinition, what: str
) -> None:
    refused = policy_of(settings).refusal(app)
    assert "policy of this machine" in refused
    assert what in refused
    as_init = replace(app, services=(), init_services=app.services)
    assert policy_of(settings).refusal(as_init) == refused
    assert Policy().refusal(app) == ""


def test_what_the_owner_allows_is_allowed() -> None:
    settings = {
        "privileged": False,
        "host-network": False,
        "host-paths": ["/srv/data/", "/"],
        "devices": ["/dev/ttyUSB0"],
        "images": ["registry.example.com/"],
    }
    device = (DeviceDefinition("/dev/ttyUSB0"),)
    assert policy_of(settings).refusal(app_with("/srv/data/x", devices=device)) == ""
    assert policy_of({"host-network": False}).refusal(app_with(mode=NATIVE)) == ""


def test_a_link_does_not_lead_out_of_what_is_allowed(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "link").symlink_to("/etc")
    policy = policy_of({"host-paths": [str(tmp_path / "own")]})
    assert policy.refusal(app_with(str(tmp_path / "own" / "new"))) == ""
    assert "link" in policy.refusal(app_with(str(tmp_path / "own" / "link")))


def test_commands_and_updates_can_be_refused_one_by_one() -> None:
    policy = policy_of({"commands": ["report", "update"], "updates": False})
    assert policy.refuses_command("report") == ""
    assert "(commands)" in policy.refuses_command("logs")
    assert "(updates)" in policy.refuses_command("update")


def test_a_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    file = PolicyFile(path)
    assert file.current().privileged
    path.write_text("privileged = false\n")
    assert not file.current().privileged
    assert file.current() is file.current()
    path.unlink()
    assert file.current().privileged


@pytest.mark.parametrize(
    "text", ["privileged = maybe", "privileged = 'no'", "typo = true", "broken = 'x'", "\xff"]
)
def test_a_file_that_cannot_be_read_refuses_everything(tmp_path: Path, text: str) -> None:
    path = tmp_path / "agent.toml"
    path.write_bytes(text.encode("latin-1"))
    policy = PolicyFile(path).current()
    assert str(path) in policy.refusal(APP)
    assert "refuses everything" in policy.refuses_command("report")
    path.write_text("# mended\n")
    os.utime(path, (1, 1))
    assert PolicyFile(path).current() == Policy()


def test_a_directory_in_its_place_refuses_everything(tmp_path: Path) -> None:
    assert PolicyFile(tmp_path).current().refusal(APP)


def test_a_wrong_value_is_named() -> None:
    with pytest.raises(TomlError, match="host-paths is not a list"):
        policy_of({"host-paths": "/srv"})


def test_the_file_of_a_user_is_below_its_configuration() -> None:
    chosen = {"EDGESYNC_POLICY": "/opt/agent.toml"}
    assert policy_file(chosen) == Path("/opt/agent.toml")
    expected = "/etc/edgesync/agent.toml" if os.geteuid() == 0 else "/x/edgesync/agent.toml"
    assert policy_file({"XDG_CONFIG_HOME": "/x"}) == Path(expected)
