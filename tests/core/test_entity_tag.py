import string
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.core.app import App, AppSpec
from cloud.core.batch import Batch, BatchSpec, Record
from cloud.core.entity_tag import Precondition, Tags, entity_tag, read_tags
from cloud.core.node import Node, NodeSpec
from cloud.core.resource import Tagged
from cloud.errors import Invalid, PreconditionFailed
from tests.core.refusals import field_refused, is_taken
from tests.core.strategies import START, nodes

LATER = START + timedelta(microseconds=1)
NODE = Node("default", "n", NodeSpec({"a": "1", "b": "2"}, {"c": "3"}, "d"), START, START)
APP = App("default", "web", AppSpec(), "7", START, START)
BATCH = Batch("default", "b", BatchSpec(security_key="hidden", labels={"a": "1"}), START, START)
RECORD = Record("default", "b", "r", "F", "n", START, START)


def test_the_tag_of_what_has_a_version_is_the_version() -> None:
    assert entity_tag(APP) == '"7"'


@given(nodes())
def test_a_tag_is_one_that_a_header_can_hold(node: Node) -> None:
    tag = entity_tag(node)
    assert read_tags("If-Match", [tag]) == Tags(frozenset({tag}))
    assert set(tag) <= set(string.hexdigits + '"')


@given(nodes(), nodes())
def test_nodes_with_the_same_response_have_the_same_tag(one: Node, other: Node) -> None:
    assert (entity_tag(one) == entity_tag(other)) is (one.spec == other.spec)


def test_the_order_of_labels_is_no_difference() -> None:
    turned = msgspec.structs.replace(NODE.spec, labels={"b": "2", "a": "1"})
    assert entity_tag(replace(NODE, spec=turned)) == entity_tag(NODE)


CHANGED: list[tuple[Tagged, Tagged]] = [
    (NODE, replace(NODE, spec=msgspec.structs.replace(NODE.spec, description="e"))),
    (NODE, replace(NODE, spec=msgspec.structs.replace(NODE.spec, labels={}))),
    (NODE, replace(NODE, spec=msgspec.structs.replace(NODE.spec, annotations={}))),
    (NODE, replace(NODE, updated=LATER)),
    (NODE, replace(NODE, created=LATER)),
    (BATCH, replace(BATCH, spec=msgspec.structs.replace(BATCH.spec, quota_num=7))),
    (BATCH, replace(BATCH, updated=LATER)),
    (RECORD, replace(RECORD, node_name="m")),
    (RECORD, replace(RECORD, active=True)),
    (RECORD, replace(RECORD, active_ip="192.0.2.1")),
    (RECORD, replace(RECORD, updated=LATER)),
]


@pytest.mark.parametrize(("before", "after"), CHANGED)
def test_another_state_has_another_tag(before: Tagged, after: Tagged) -> None:
    assert entity_tag(before) != entity_tag(after)


def test_nothing_of_a_token_follows_from_a_tag() -> None:
    other = replace(BATCH, spec=msgspec.structs.replace(BATCH.spec, security_key="other"))
    assert entity_tag(other) == entity_tag(BATCH)


@pytest.mark.parametrize(
    ("lines", "tags"),
    [
        ([], None),
        (["*"], Tags(is_any=True)),
        ([" * "], Tags(is_any=True)),
        ([""], Tags()),
        (['"1"'], Tags(frozenset({'"1"'}))),
        (['""'], Tags(frozenset({'""'}))),
        (['"1", "2" ,W/"3"'], Tags(frozenset({'"1"', '"2"', 'W/"3"'}))),
        (['"1"', '"2"'], Tags(frozenset({'"1"', '"2"'}))),
        ([',, "1",'], Tags(frozenset({'"1"'}))),
        (['"a,b", "*"'], Tags(frozenset({'"a,b"', '"*"'}))),
        (['"\xe4"'], Tags(frozenset({'"\xe4"'}))),
    ],
)
def test_a_list_of_tags_is_read_by_the_standard(lines: Sequence[str], tags: Tags | None) -> None:
    assert read_tags("If-Match", lines) == tags


@pytest.mark.parametrize(
    "text", ["1", "'1'", '"1', '1"', '"1" "2"', '"1", *', "*, *", 'w/"1"', 'W/ "1"', '"a b"']
)
def test_what_is_no_list_of_tags_is_refused(text: str) -> None:
    assert field_refused(read_tags, "If-Match", [text]) == "If-Match"


@given(st.lists(st.text('"W/*, 1a\t', max_size=12), max_size=3))
def test_any_text_is_read_or_refused(lines: list[str]) -> None:
    assert is_taken(read_tags, "If-Match", lines) in {True, False}


@given(st.lists(st.text("a1,*", max_size=3), max_size=4))
def test_a_list_that_was_written_is_read(opaque: list[str]) -> None:
    written = [f'"{text}"' for text in opaque]
    assert read_tags("If-Match", written) == (Tags(frozenset(written)) if written else None)
    assert read_tags("If-Match", [" , ".join(written)]) == Tags(frozenset(written))


def tags(text: str) -> Tags | None:
    return read_tags("a", [text])


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        (Precondition(), True),
        (Precondition(if_match=tags("*")), True),
        (Precondition(if_match=tags('"6", "7"')), True),
        (Precondition(if_match=tags('"6"')), False),
        (Precondition(if_match=tags('W/"7"')), False),
        (Precondition(if_match=tags("")), False),
        (Precondition(if_none_match=tags("*")), False),
        (Precondition(if_none_match=tags('"7"')), False),
        (Precondition(if_none_match=tags('W/"7"')), False),
        (Precondition(if_none_match=tags('"6"')), True),
        (Precondition(tags('"7"'), tags('"7"')), False),
    ],
)
def test_a_change_is_made_to_the_state_that_was_meant_alone(
    condition: Precondition, *, holds: bool
) -> None:
    if holds:
        condition.check(lambda: APP)
        return
    with pytest.raises(PreconditionFailed) as caught:
        condition.check(lambda: APP)
    assert (caught.value.kind, caught.value.name) == ("app", "web")


def test_nothing_is_checked_without_a_condition() -> None:
    looked: list[Tagged] = []

    def look() -> Tagged:
        looked.append(APP)
        return APP

    Precondition().check(look)
    assert looked == []
    Precondition(if_match=tags("*")).check(look)
    assert looked == [APP]


@pytest.mark.parametrize("text", ['"a"' + " " * 31_000 + "x", " \t" * 15_000 + '"', '"' * 31_000])
def test_no_list_of_tags_takes_long_to_refuse(text: str) -> None:
    began = time.process_time()
    with pytest.raises(Invalid):
        read_tags("If-Match", [text])
    assert time.process_time() - began < 0.5
