"""Lists: which fields select, and how a selector of them is read."""

import pytest

from cloud.core.listing import FieldTerm, parse_field_selector
from cloud.errors import Invalid


def test_a_field_selector_is_read_term_by_term() -> None:
    text = "metadata.name==x, metadata.namespace = default,metadata.name!= y"
    assert parse_field_selector(text) == [
        FieldTerm("name", "x", negated=False),
        FieldTerm("namespace", "default", negated=False),
        FieldTerm("name", "y", negated=True),
    ]
    assert parse_field_selector(" ") == []


@pytest.mark.parametrize("text", ["spec.x=1", "metadata.name", ",", "metadata.name=" + "a" * 4096])
def test_what_cannot_be_read_is_refused_by_name(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_field_selector(text)
    assert caught.value.field == "fieldSelector"
