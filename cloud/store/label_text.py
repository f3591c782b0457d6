"""The labels of a node as one text in its narrow row, so that a scan tests them without a lookup.

The text of `site=s7` and `rack=4` is `&rack=4&#rack=4&site=s7&`: a number is in it twice. Neither
`&` nor `#` can be part of a key or a value.
"""

from collections.abc import Mapping

from cloud.core.names import NODE_NAME_LABEL
from cloud.core.selectors import Operator, Term, integer_of
from cloud.store.statements import Fragment, fragment, joined, numbered

LENGTH_AT_MOST = 512
"""Characters of the text; the labels of a node that has more are looked up in their table."""

VALUES_AT_MOST = 8
"""Values of a term that are searched for one by one; with more the labels are looked up."""

_FOUND = fragment("{position}(place.labels, :text_#) > 0")
_NUMBER_GREATER = fragment("coalesce({number_after[text_#]} > :bound_#, FALSE)")
_NUMBER_LESS = fragment("coalesce({number_after[text_#]} < :bound_#, FALSE)")
_NO_TEXT, _ELSE, _END = map(fragment, ("(CASE WHEN place.labels IS NULL THEN ", " ELSE ", " END)"))
_OR, _OPEN, _CLOSE = map(fragment, (" OR ", "(", ")"))
_TESTS = {
    Operator.IN: _FOUND,
    Operator.EXISTS: _FOUND,
    Operator.GREATER: _NUMBER_GREATER,
    Operator.LESS: _NUMBER_LESS,
}


def label_text(labels: Mapping[str, str]) -> str | None:
    """The text of *labels*; None where it would be too long."""
    pieces = ["&"]
    for key, value in sorted(labels.items()):
        pieces.append(f"{key}={value}&")
        if (number := integer_of(value)) is not None:
            pieces.append(f"#{key}={number}&")
    text = "".join(pieces)
    return text if len(text) <= LENGTH_AT_MOST else None


def has_in_text(term: Term, values: dict[str, str | int], looked_up: Fragment) -> Fragment:
    """The condition of *term*, a positive one, on a row of `node_status`.

    *values* takes its parameters; *looked_up* is the same condition on the table of labels.
    """
    test = text_test(term, values)
    if test is None:
        return looked_up
    return joined(_NO_TEXT, looked_up, _ELSE, test, _END)


def text_test(term: Term, values: dict[str, str | int]) -> Fragment | None:
    """The condition of *term*, a positive one, on a text of labels; None where it has none."""
    if term.key == NODE_NAME_LABEL or len(term.values) > VALUES_AT_MOST:
        return None
    tests: list[Fragment] = []
    for text in _texts(term):
        number = len(values)
        values[f"text_{number}"] = text
        if term.operator in {Operator.GREATER, Operator.LESS}:
            values[f"bound_{number}"] = int(term.values[0])
        tests += [_OR] if tests else []
        tests.append(numbered(_TESTS[term.operator], number))
    return joined(_OPEN, *tests, _CLOSE)


def _texts(term: Term) -> list[str]:
    """What the text of labels that satisfy *term* contains, one of them."""
    match term.operator:
        case Operator.IN:
            return [f"&{term.key}={value}&" for value in dict.fromkeys(term.values)]
        case Operator.EXISTS:
            return [f"&{term.key}="]
        case _:
            return [f"#{term.key}="]
