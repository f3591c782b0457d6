import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.errors import MalformedTopic
from broker.topics import FROM_NODE, TO_NODE, Channel, is_node_id_level, parse_topic, topic_for

node_ids = st.text(min_size=1).filter(is_node_id_level)


@given(node_ids, st.sampled_from(Channel))
def test_parsing_is_the_inverse_of_building(node_id: str, channel: Channel) -> None:
    assert parse_topic(topic_for(node_id, channel)) == (node_id, channel)


@given(node_ids, node_ids, st.sampled_from(Channel), st.sampled_from(Channel))
def test_different_nodes_and_channels_have_different_topics(
    node_id: str, other_id: str, channel: Channel, other: Channel
) -> None:
    same = (node_id, channel) == (other_id, other)
    assert (topic_for(node_id, channel) == topic_for(other_id, other)) is same


@given(st.text() | st.lists(st.sampled_from(["edge", "v1", "a", "report", "+", ""])).map("/".join))
def test_whatever_parses_is_what_would_be_built(topic: str) -> None:
    try:
        node_id, channel = parse_topic(topic)
    except MalformedTopic:
        return
    assert topic_for(node_id, channel) == topic


@pytest.mark.parametrize("node_id", ["", "a/b", "+", "a+", "#", "$SYS", "a\0b"])
def test_a_node_id_that_would_change_the_topic_is_refused(node_id: str) -> None:
    with pytest.raises(MalformedTopic):
        topic_for(node_id, Channel.REPORT)


@pytest.mark.parametrize(
    "topic",
    [
        "edge/v1/a.b/report/",
        "/edge/v1/a.b/report",
        "edge/v1/a.b",
        "edge/v1//report",
        "edge/v1/a.b/Report",
        "edge/v2/a.b/report",
        "xedge/v1/a.b/report",
        "edge/v1/+/report",
        "edge/v1/a.b/#",
        "$share/group/edge/v1/a.b/report",
    ],
)
def test_other_topics_are_malformed(topic: str) -> None:
    with pytest.raises(MalformedTopic):
        parse_topic(topic)


def test_every_channel_has_one_direction() -> None:
    assert set(Channel) == FROM_NODE | TO_NODE
    assert not FROM_NODE & TO_NODE
