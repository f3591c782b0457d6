"""Settings from flags, environment and file."""

import re
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

from broker.limits import MAX_BROKERS
from cloud.config import BadSettings, Settings
from cloud.core.broker_urls import broker_address, broker_addresses
from cloud.core.deprecated_settings import DEPRECATED_SETTINGS, DeprecatedSetting
from cloud.core.rate import Rate
from cloud.settings_sources import load_settings
from tests.repo.tracked import ROOT, text_of


def refusal(flags: dict[str, object], environ: dict[str, str], file: Path | None = None) -> str:
    with pytest.raises(BadSettings) as caught:
        load_settings(flags, environ, file)
    return str(caught.value)


def test_a_flag_wins_over_the_environment_over_the_file_over_the_default(tmp_path: Path) -> None:
    file = tmp_path / "edgesync.toml"
    file.write_text('api_port = 1\nmqtt_port = 2\nactivation_port = 3\nserver_names = ["a", "b"]\n')
    environ = {"EDGESYNC_MQTT_PORT": "20", "EDGESYNC_ACTIVATION_PORT": "30", "PATH": "/bin"}
    settings = load_settings({"activation_port": 300}, environ, file)
    assert (settings.api_port, settings.mqtt_port, settings.activation_port) == (1, 20, 300)
    assert settings.server_names == ("a", "b")
    assert settings.namespace == "default"
    assert not settings.server_generated_keys


def test_defaults_are_those_of_the_ports_and_addresses_people_know() -> None:
    settings = load_settings({}, {}, None)
    assert (settings.api_port, settings.activation_port, settings.mqtt_port) == (9004, 9003, 8883)
    assert settings.sync_port == 9005
    assert settings.host == "127.0.0.1"
    assert settings.is_on_loopback
    assert settings.data_dir == Path("data")


def test_an_unknown_key_is_an_error_wherever_it_stands(tmp_path: Path) -> None:
    file = tmp_path / "edgesync.toml"
    file.write_text("api_prot = 1\n")
    assert "api_prot" in refusal({}, {}, file)
    assert "EDGESYNC_API_PROT" in refusal({}, {"EDGESYNC_API_PROT": "1"})
    others = {"EDGESYNC_TEST_UNIT": "2", "EDGESYNC_CONFIG": "x", "EDGESYNC_SIM_TOKEN": "t"}
    others |= dict.fromkeys(
        (
            *("EDGESYNC_TOKEN", "EDGESYNC_TOKEN_FILE", "EDGESYNC_URL", "EDGESYNC_CA"),
            *("EDGESYNC_CONTEXT", "EDGESYNC_CONTEXTS"),
        ),
        "x",
    )
    assert load_settings({}, others, None) == Settings()


def test_a_setting_that_was_replaced_works_with_a_warning(tmp_path: Path) -> None:
    deprecated = [DeprecatedSetting("rest_port", "api_port", "0.2")]
    file = tmp_path / "edgesync.toml"
    file.write_text("rest_port = 1\n")
    for flags, environ, where, port in (
        ({}, {}, f"{file}: rest_port", 1),
        ({}, {"EDGESYNC_REST_PORT": "2"}, "EDGESYNC_REST_PORT", 2),
        ({"rest_port": 3}, {}, "--rest-port", 3),
    ):
        warnings: list[str] = []
        named = file if not flags and not environ else None
        settings = load_settings(flags, environ, named, warn=warnings.append, deprecated=deprecated)
        assert settings.api_port == port
        expected = f"{where}: deprecated since 0.2, removed in the next version: use api_port"
        assert warnings == [expected]
    environ = {"EDGESYNC_REST_PORT": "2", "EDGESYNC_API_PORT": "3"}
    with pytest.raises(BadSettings, match="has a value already"):
        load_settings({}, environ, None, warn=lambda _: None, deprecated=deprecated)
    assert "rest_port" in refusal({}, {}, file)


def test_the_page_lists_the_deprecated_settings_that_still_work() -> None:
    page = text_of(ROOT / "docs/upgrading.md").partition("\n## Deprecated names\n")[2]
    rows = re.findall(r"^\| `(\w+)` \| `(\w+)` \| ([\d.]+) \|$", page, flags=re.M)
    listed = [(one.old, one.new, one.since) for one in DEPRECATED_SETTINGS]
    assert rows == listed
    assert ("No setting is deprecated now." in page) == (not listed)
    names = {one.name for one in fields(Settings)}
    project = tomllib.loads(text_of(ROOT / "pyproject.toml"))
    last = project["tool"]["setuptools_scm"]["fallback_version"]
    for old, new, since in listed:
        assert new in names
        assert old not in names
        # Removed once the version after that is released.
        assert tuple(map(int, since.split("."))) >= tuple(map(int, last.split(".")[:2])), old


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("api_port = '1'", "api_port: '1' is not a whole number"),
        ("api_port = true", "api_port: True is not a whole number"),
        ("api_port = 70000", "api_port: 70000 is not between"),
        ("server_names = 'a'", "server_names: 'a' is not a list"),
        ("server_generated_keys = 1", "server_generated_keys: 1 is not true or false"),
        ("namespace = 'a.b'", "namespace"),
        ("log_level = 'loud'", "log_level"),
        ("max_connections = 0", "max_connections"),
        ("deploys_kept = 0", "deploys_kept"),
        ("deploys_kept = 1001", "deploys_kept"),
        ("events_days = 0", "events_days: is not between 1 and 36500"),
        ("events_kept = 0", "events_kept"),
        ("usage_step_seconds = 59", "usage_step_seconds"),
        ("usage_step_seconds = 86401", "usage_step_seconds"),
        ("revisions_kept = 0", "revisions_kept"),
        ("revisions_kept = 1001", "revisions_kept"),
        ("requests_per_second = -1", "requests_per_second: is less than 0"),
        ("denials_per_minute = -1", "denials_per_minute: is less than 0"),
        ("trusted_proxies = ['10.0.0.1/8']", "trusted_proxies: 10.0.0.1/8 has host bits set"),
        ("trusted_proxies = ['proxy']", "trusted_proxies: 'proxy' does not appear to be"),
        ("api_port = ", "edgesync.toml"),
    ],
)
def test_a_wrong_value_is_named(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "edgesync.toml"
    file.write_text(text)
    assert words in refusal({}, {}, file)


def test_a_missing_file_and_unreadable_variables_are_named(tmp_path: Path) -> None:
    assert "nowhere.toml" in refusal({}, {}, tmp_path / "nowhere.toml")
    assert "EDGESYNC_API_PORT" in refusal({}, {"EDGESYNC_API_PORT": "x"})
    assert "EDGESYNC_SERVER_GENERATED_KEYS" in refusal(
        {}, {"EDGESYNC_SERVER_GENERATED_KEYS": "maybe"}
    )


def test_lists_and_truth_are_read_from_the_environment() -> None:
    environ = {"EDGESYNC_SERVER_NAMES": "a, b,", "EDGESYNC_SERVER_GENERATED_KEYS": "true"}
    settings = load_settings({}, environ, None)
    assert settings.server_names == ("a", "b")
    assert settings.server_generated_keys


def test_every_setting_is_in_the_table_of_the_docs() -> None:
    text = Path("docs/operations/configure.md").read_text()
    for setting in fields(Settings):
        assert re.search(rf"`EDGESYNC_{setting.name.upper()}`", text), setting.name
        assert f"`{setting.name}`" in text


def test_runtimes_of_functions_are_added_to_those_that_are_known(tmp_path: Path) -> None:
    file = tmp_path / "edgesync.toml"
    file.write_text('[function_runtimes]\nrust = "runtimes/rust:1"\nsql = "my/sql:2"\n')
    runtimes = load_settings({}, {}, file).runtimes
    assert (runtimes["rust"], runtimes["sql"]) == ("runtimes/rust:1", "my/sql:2")
    assert runtimes["python36"] == Settings().runtimes["python36"]
    given = {"EDGESYNC_FUNCTION_RUNTIMES": "rust=other/rust:2, go=go:1"}
    runtimes = load_settings({}, given, file).runtimes
    assert (runtimes["rust"], runtimes["go"]) == ("other/rust:2", "go:1")


@pytest.mark.parametrize("entry", ["rust", "=image", "rust="])
def test_a_runtime_without_an_image_is_refused(entry: str) -> None:
    with pytest.raises(BadSettings) as caught:
        Settings(function_runtimes=(entry,))
    assert "function_runtimes" in str(caught.value)


@pytest.mark.parametrize("seconds", [0, 604801])
def test_a_url_is_good_for_as_long_as_a_signature_can_be(seconds: int) -> None:
    with pytest.raises(BadSettings) as caught:
        Settings(object_url_seconds=seconds)
    assert "object_url_seconds" in str(caught.value)


def test_a_limit_of_nothing_is_none_and_proxies_are_networks() -> None:
    environ = {"EDGESYNC_REQUESTS_PER_SECOND": "0", "EDGESYNC_DENIALS_PER_MINUTE": "0"}
    settings = load_settings({}, {**environ, "EDGESYNC_TRUSTED_PROXIES": "10.0.0.0/8,::1"}, None)
    assert settings.request_rate is None
    assert settings.denial_rate is None
    assert [str(network) for network in settings.proxies] == ["10.0.0.0/8", "::1/128"]
    assert Settings().request_rate == Rate(burst=5000, per_second=500)
    assert Settings().denial_rate == Rate(burst=60, per_second=1)


@pytest.mark.parametrize("days", [-1, 3651])
def test_a_certificate_that_ended_is_not_renewed_for_ever(days: int) -> None:
    with pytest.raises(BadSettings) as caught:
        Settings(renewal_grace_days=days)
    assert "renewal_grace_days" in str(caught.value)
    assert Settings(renewal_grace_days=0).renewal_grace_days == 0


NO_NAMES = ("a b", "", "-a", "a-", "a..b", "a.", "*.a.example", "a_b", "https://a", "a:1", "ä")


@pytest.mark.parametrize("name", NO_NAMES)
def test_a_name_that_no_certificate_can_be_for_is_refused(name: str) -> None:
    with pytest.raises(BadSettings) as caught:
        Settings(server_names=("good.example.com", name))
    assert str(caught.value).startswith(f"server_names: {name!r}")


def test_names_and_addresses_are_taken() -> None:
    names = ("Sync-1.example.com", "gate", "192.0.2.1", "2001:db8::1", "a" * 63, "xn--bcher-kva.de")
    assert Settings(server_names=names).server_names == names


@pytest.mark.parametrize(
    "url", ["mqtts://localhost:8884", "mqtts://broker.example.com:1", "mqtts://[::1]:65535"]
)
def test_a_broker_is_named_by_host_and_port(url: str) -> None:
    settings = Settings(broker=url, broker_for_nodes=url, server_id="edge-1.a_b")
    host, port = broker_address("broker", settings.broker)
    assert url in {f"mqtts://{host}:{port}", f"mqtts://[{host}]:{port}"}


def test_a_server_may_be_on_several_brokers() -> None:
    urls = "mqtts://one:8884,mqtts://[::1]:8884"
    settings = Settings(broker=urls, broker_for_nodes="mqtts://mqtt:8883")
    assert broker_addresses(settings.broker) == [("one", 8884), ("::1", 8884)]
    many = ",".join(f"mqtts://one:{port}" for port in range(1, MAX_BROKERS + 2))
    for bad in ("mqtts://one:1,", "mqtts://one:1,mqtts://one:1", many):
        with pytest.raises(BadSettings, match=r"^broker: "):
            Settings(broker=bad, broker_for_nodes="mqtts://mqtt:8883")


@pytest.mark.parametrize(
    "given",
    [
        {"broker": "mqtts://localhost:8884"},
        {"broker_for_nodes": "mqtts://localhost:8883"},
        *(
            {"broker": url, "broker_for_nodes": "mqtts://localhost:8883"}
            for url in (
                "mqtt://localhost:1883",
                "mqtts://localhost",
                "mqtts://localhost:0",
                "mqtts://localhost:65536",
                "mqtts://me@localhost:1",
                "mqtts://localhost:1/topic",
                "localhost:1",
            )
        ),
        {"database": "mysql://localhost/edgesync"},
        {"server_id": "a b"},
        {"server_id": "x" * 65},
    ],
)
def test_what_cannot_be_a_fleet_is_refused(given: dict[str, str]) -> None:
    with pytest.raises(BadSettings) as caught:
        Settings(**given)  # type: ignore[arg-type]
    assert any(name in str(caught.value) for name in given)
