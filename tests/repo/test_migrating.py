"""The configuration files of docs/migrating-from-baetyl.md fit the server they are written for."""

import re
from typing import Any
from urllib.parse import urlsplit

import yaml

from broker.topics import Channel, topic_for
from cloud.config import Settings
from tests.repo.tracked import ROOT, text_of

PAGE = ROOT / "docs/migrating-from-baetyl.md"


def files() -> dict[str, Any]:
    """The configuration files on the page, by the comment each begins with."""
    blocks = re.findall(r"```yaml\n# (.*?)\n(.*?)```", text_of(PAGE), flags=re.S)
    return {title.rpartition(" of ")[2]: yaml.safe_load(text) for title, text in blocks}


def port(address: str) -> int | None:
    return urlsplit(address).port


def test_every_address_has_the_port_that_is_listened_on() -> None:
    settings = Settings()
    init, https, mqtt = files().values()
    assert port(init["init"]["active"]["address"]) == settings.activation_port
    assert port(init["httplink"]["address"]) == settings.sync_port
    assert port(https["httplink"]["address"]) == settings.sync_port
    assert port(mqtt["mqttlink"]["address"]) == settings.mqtt_port
    assert init["init"]["batch"]["namespace"] == settings.namespace


def test_an_agent_over_mqtt_uses_the_topics_of_its_node() -> None:
    link = files()["baetyl-core, mqttlink"]["mqttlink"]
    namespace, _, name = link["clientid"].partition(".")
    channels = {
        "report": Channel.REPORT,
        "delta": Channel.DELTA,
        "desire": Channel.DESIRE,
        "desireResponse": Channel.DESIRE_RESPONSE,
    }
    for key, channel in channels.items():
        topic = link[key]["topic"].replace("(.Namespace)", namespace).replace("(.NodeName)", name)
        assert topic == topic_for(link["clientid"], channel)


def test_an_import_reaches_the_server_as_it_was_started() -> None:
    """On every address the API speaks TLS, with a certificate of the server's own authority."""
    text = text_of(PAGE)
    assert "edgesync serve --host 0.0.0.0" in text
    commands = re.findall(r"^edgesync import baetyl .*$", text, flags=re.M)
    assert len(commands) == 2
    for command in commands:
        assert "--to-url https://127.0.0.1:9004 --to-ca data/ca/root.pem" in command


def test_the_files_that_are_copied_by_hand_are_those_of_the_node_agent() -> None:
    copied = re.findall(r"^cp ~/\.edgesync/identity/(\S+) +(\S+)$", text_of(PAGE), flags=re.M)
    source = text_of(ROOT / "edgesync_agent/activation.py")
    for own, _ in copied:
        assert f'"{own}"' in source
    node = files()["baetyl-core, httplink"]["node"]
    assert {target for _, target in copied} == set(node.values())
    assert [own for own, _ in copied] == ["ca.pem", "cert.pem", "key.pem"]


def test_no_agent_is_configured_to_trust_every_server() -> None:
    def skips(value: Any) -> list[bool]:
        if not isinstance(value, dict):
            return []
        inner = [skip for one in value.values() for skip in skips(one)]
        return inner + [value[key] for key in value if key == "insecureSkipVerify"]

    reasons = [skip for file in files().values() for skip in skips(file)]
    assert len(reasons) == 4
    assert not any(reasons)
