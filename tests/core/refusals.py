"""The field and the reason of a refusal."""

from collections.abc import Callable

import pytest

from cloud.errors import Invalid

ANSWER_LIMIT = 1000
"""Characters an error may have, whatever was sent; one of these may be written as six."""


def field_refused(call: Callable[..., object], *arguments: object) -> str:
    """The field that Invalid names when *call* gets *arguments*; fails if it takes them."""
    with pytest.raises(Invalid) as caught:
        call(*arguments)
    assert len(str(caught.value)) <= ANSWER_LIMIT
    return caught.value.field


def is_taken(call: Callable[..., object], *arguments: object) -> bool:
    """Return whether *call* takes *arguments*; anything but Invalid fails the test."""
    answer = ""
    try:
        call(*arguments)
    except Invalid as error:
        answer = str(error)
    assert len(answer) <= ANSWER_LIMIT
    return not answer
