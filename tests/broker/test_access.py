from hypothesis import given
from hypothesis import strategies as st

from broker.access import may_publish, may_subscribe
from broker.topics import FROM_NODE, TO_NODE, Channel, is_node_id_level, topic_for

node_ids = st.text(min_size=1).filter(is_node_id_level)
levels = st.sampled_from(["edge", "v1", "a.b", "a.c", "report", "delta", "+", "#", "$share", ""])
topics = st.text() | st.lists(levels, max_size=7).map("/".join)


@given(node_ids, st.sampled_from(Channel))
def test_a_node_publishes_and_subscribes_to_the_channels_of_each_direction(
    node_id: str, channel: Channel
) -> None:
    topic = topic_for(node_id, channel)
    assert may_publish(node_id, topic) is (channel in FROM_NODE)
    assert may_subscribe(node_id, topic) is (channel in TO_NODE)


@given(node_ids, node_ids, st.sampled_from(Channel))
def test_no_node_reaches_a_topic_of_another(node_id: str, other_id: str, channel: Channel) -> None:
    topic = topic_for(other_id, channel)
    if node_id != other_id:
        assert not may_publish(node_id, topic)
        assert not may_subscribe(node_id, topic)


@given(st.sampled_from(["a.b", "+", "#", "", "a.b/report", "$share"]) | st.text(), topics)
def test_whatever_is_allowed_is_one_of_its_own_topics(node_id: str, topic: str) -> None:
    if may_publish(node_id, topic):
        assert topic in {topic_for(node_id, channel) for channel in FROM_NODE}
    if may_subscribe(node_id, topic):
        assert topic in {topic_for(node_id, channel) for channel in TO_NODE}
