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


def test_no_agent_is_told_to_trust_everybody() -> None:
    def skips(value: Any) -> list[bool]:
        if not isinstance(value, dict):
            return []
        inner = [skip for one in value.values() for skip in skips(one)]
        return inner + [value[key] for key in value if key == "insecureSkipVerify"]

    said = [skip for file in files().values() for skip in skips(file)]
    assert len(said) == 4
    assert not any(said)
