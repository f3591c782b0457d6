import re
from pathlib import PurePosixPath
from typing import Any

import pytest
from pyhocon import ConfigFactory

from broker.access import may_publish, may_subscribe
from broker.configuration import SERVER_NAME, BrokerSettings, emqx_files, mosquitto_files
from broker.topics import FROM_NODE, Channel, is_node_id_level, shared_filter, topic_for

SETTINGS = BrokerSettings(directory=PurePosixPath("/etc/edgesync"), max_connections=77)
NODE = "default.gate-7"
OTHER = "default.gate-8"
TOPICS = [
    *(topic_for(name, channel) for name in (NODE, OTHER) for channel in Channel),
    "edge/v1/+/delta",
    "edge/v1/#",
    "#",
    "elsewhere",
]


def emqx_allows(rules: str, username: str, action: str, topic: str) -> bool:
    """What EMQX decides: the first rule that fits; topics with ${username} filled in."""
    for line in rules.splitlines():
        found = re.fullmatch(
            r'\{(\w+), (all|\{user, "(.+?)"\})(?:, (\w+), \[(.*)\])?\}\.', line.strip()
        )
        if found is None:
            assert line.startswith("%%"), line
            continue
        permission, who, user, of, topics = found.groups()
        if who != "all" and user != username:
            continue
        if of is not None:
            named = [
                text.replace("${username}", username) for text in re.findall('"(.+?)"', topics)
            ]
            if of != action or not any(fits(topic, text) for text in named):
                continue
        return permission == "allow"
    raise AssertionError("no rule decides")


def fits(topic: str, topic_filter: str) -> bool:
    """Return whether a topic, or a filter that asks for no more, is covered by *topic_filter*."""
    levels, wanted = topic.split("/"), topic_filter.split("/")
    return len(levels) == len(wanted) and all(
        want in ("+", level) and level != "#" for level, want in zip(levels, wanted, strict=True)
    )


@pytest.mark.parametrize("topic", TOPICS)
def test_emqx_grants_nodes_what_the_access_table_grants(topic: str) -> None:
    rules = emqx_files(SETTINGS)["acl.conf"]
    assert emqx_allows(rules, NODE, "publish", topic) is may_publish(NODE, topic)
    assert emqx_allows(rules, NODE, "subscribe", topic) is may_subscribe(NODE, topic)


@pytest.mark.parametrize("channel", Channel)
def test_emqx_lets_servers_hear_nodes_and_speak_to_them(channel: Channel) -> None:
    rules = emqx_files(SETTINGS)["acl.conf"]
    hears = channel in FROM_NODE
    assert emqx_allows(rules, SERVER_NAME, "subscribe", shared_filter(channel)) is hears
    assert emqx_allows(rules, SERVER_NAME, "publish", topic_for(NODE, channel)) is not hears


def test_emqx_reads_its_configuration() -> None:
    read: Any = ConfigFactory.parse_string(emqx_files(SETTINGS)["emqx.conf"])
    for name, port in (("nodes", 8883), ("servers", 8884)):
        listener = read["listeners"]["ssl"][name]
        assert listener["bind"].endswith(f":{port}")
        assert listener["zone"] == name
        assert listener["ssl_options"]["verify"] == "verify_peer"
        assert listener["ssl_options"]["fail_if_no_peer_cert"] is True
        assert listener["ssl_options"]["cacertfile"] == "/etc/edgesync/ca.pem"
        assert read["zones"][name]["mqtt"]["peer_cert_as_username"] == "cn"
    assert read["zones"]["nodes"]["mqtt"]["peer_cert_as_clientid"] == "cn"
    assert "peer_cert_as_clientid" not in read["zones"]["servers"]["mqtt"]
    assert read["authorization"]["no_match"] == "deny"
    assert [source["path"] for source in read["authorization"]["sources"]] == [
        "/etc/edgesync/acl.conf"
    ]
    for kind, names in read["listeners"].items():
        for name, listener in names.items():
            assert (kind, name) in {("ssl", "nodes"), ("ssl", "servers")} or not listener["enable"]


def test_mosquitto_gets_its_revocation_list_where_there_is_one() -> None:
    with_list = mosquitto_files(SETTINGS)["mosquitto.conf"]
    assert with_list.count("crlfile /etc/edgesync/crl.pem") == 2
    assert "max_connections 77" in with_list


def test_servers_have_a_name_no_node_can_have() -> None:
    assert is_node_id_level(SERVER_NAME)
    assert "." not in SERVER_NAME
