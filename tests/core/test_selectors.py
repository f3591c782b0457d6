from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.core.selectors import LENGTH_LIMIT, Operator, Term, matches, parse_selector
from tests.core.refusals import field_refused, is_taken
from tests.core.strategies import ModelTerm, labels, model_terms, written


@given(st.lists(model_terms(), min_size=1, max_size=4), labels, st.data())
def test_selectors_mean_what_a_naive_reading_of_their_terms_means(
    terms: list[ModelTerm], own: Mapping[str, str], data: st.DataObject
) -> None:
    selector = parse_selector(data.draw(written(terms)))
    assert matches(selector, own) == all(term.holds_for(own) for term in terms)


@pytest.mark.parametrize(
    ("text", "term"),
    [
        ("env=test", Term("env", Operator.IN, ("test",))),
        ("env == test", Term("env", Operator.IN, ("test",))),
        ("env!=test", Term("env", Operator.NOT_IN, ("test",))),
        ("env in(dev,test)", Term("env", Operator.IN, ("dev", "test"))),
        ("env notin (dev)", Term("env", Operator.NOT_IN, ("dev",))),
        ("env", Term("env", Operator.EXISTS)),
        ("!env", Term("env", Operator.MISSING)),
        ("cores>2", Term("cores", Operator.GREATER, ("2",))),
        ("cores<08", Term("cores", Operator.LESS, ("08",))),
        ("example.com/role=db", Term("example.com/role", Operator.IN, ("db",))),
    ],
)
def test_every_form_of_the_contract_is_read(text: str, term: Term) -> None:
    assert parse_selector(text) == (term,)


@pytest.mark.parametrize("text", ["", " ", "\t\r\n"])
def test_no_terms_are_satisfied_by_everything(text: str) -> None:
    assert parse_selector(text) == ()
    assert matches((), {})


def test_a_comma_means_and() -> None:
    selector = parse_selector("env in (dev, test), project=java")
    assert matches(selector, {"env": "dev", "project": "java"})
    assert not matches(selector, {"env": "dev", "project": "go"})
    assert not matches(selector, {"env": "live", "project": "java"})


@pytest.mark.parametrize("text", ["env=", "env==", "env= ", "env in (,)", "env in (dev,)"])
def test_an_empty_value_is_a_value(text: str) -> None:
    selector = parse_selector(text)
    assert matches(selector, {"env": ""})
    assert not matches(selector, {})
    assert not matches(selector, {"env": "live"})


@pytest.mark.parametrize("word", ["in", "notin"])
def test_the_words_of_the_grammar_can_be_keys_and_values(word: str) -> None:
    assert parse_selector(word) == (Term(word, Operator.EXISTS),)
    assert parse_selector(f"{word}={word}") == (Term(word, Operator.IN, (word,)),)
    assert parse_selector(f"{word} in ({word})") == (Term(word, Operator.IN, (word,)),)


@pytest.mark.parametrize("text", ["a,", ",a", "a,,b", ",", "a, ", "a in (b),", " , "])
def test_a_comma_has_a_term_on_both_sides(text: str) -> None:
    assert field_refused(parse_selector, text) == "selector"


@pytest.mark.parametrize("text", ["a in ()", "a notin ( )", "a in (\t)"])
def test_a_set_has_values(text: str) -> None:
    assert field_refused(parse_selector, text) == "selector"


@pytest.mark.parametrize(
    "text",
    [
        "=", "=a", "!", "!!a", "!a=b", "a b", "a=b c", "a=b=c", "a===b", "a!b", "a!", "a=!b",
        "(", ")", "a)", "(a)", "a=(b)", "a in (b", "a in b)", "a in b", "a in ((b))", "a in (b) c",
        "a in (b c)", "a in (b)(c)", "a in (b),(c)", "ain (b)", "a within (b)", "a;b", "a|b", "*",
        "a=*", "a='b'", "a>", "a>b", "a>1.5", "a>+1", "a<0x1", "a>\u0663", "a=\u0663", "é", "a=é",
        "a\u00a0=b", "a=b\u3000", "a=b\0", "\0", "a=\ud800", "\x1c",
    ],
)  # fmt: skip
def test_what_is_no_selector_is_refused(text: str) -> None:
    assert field_refused(parse_selector, text, "nodeSelector") == "nodeSelector"


@pytest.mark.parametrize(
    "text",
    [
        "x/y/z=1", "/a", "a/", "-a", "a-", "__a", "A.b/C-=1", "k" * 64, "a=" + "v" * 64, "a=-1",
        "a=b-", "a in (b,-c)", "a>-1", "a<" + "9" * 19, "a in (" + "v" * 64 + ")",
    ],
)  # fmt: skip
def test_a_selector_asks_only_for_labels_that_can_be(text: str) -> None:
    assert field_refused(parse_selector, text) == "selector"


@pytest.mark.parametrize("value", [None, "", "x", "1.5", "1e3", "0x9", "9" * 19, "\u0669", "-"])
def test_what_is_no_integer_of_64_bits_is_neither_greater_nor_less(value: str | None) -> None:
    own = {} if value is None else {"cores": value}
    assert not matches(parse_selector("cores>1"), own)
    assert not matches(parse_selector("cores<2"), own)


def test_integers_are_compared_by_value() -> None:
    assert matches(parse_selector("cores>9"), {"cores": "10"})
    assert matches(parse_selector("cores<10"), {"cores": "009"})
    assert not matches(parse_selector("cores>9"), {"cores": "9"})
    assert matches(parse_selector(f"cores<{2**63 - 1}"), {"cores": str(2**63 - 2)})


def test_a_selector_has_a_limit() -> None:
    assert parse_selector(" " * LENGTH_LIMIT) == ()
    assert field_refused(parse_selector, " " * (LENGTH_LIMIT + 1)) == "selector"


@given(st.text() | st.text(alphabet="ab=!<>(), in-./_1\n", max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    is_taken(parse_selector, text)


@pytest.mark.parametrize(
    "text",
    ["a", "a-", "a.", "a ", "a,", ",", "(", ")", "a(", "a=", "!", " ", "\n", "a in (", "()", "-"],
)
@pytest.mark.parametrize("end", ["", "!", "(", ")", "\0"])
def test_hostile_selectors_are_answered_at_once(text: str, end: str) -> None:
    is_taken(parse_selector, text * 100_000 + end)
    for _ in range(20):
        is_taken(parse_selector, (text * LENGTH_LIMIT)[: LENGTH_LIMIT - 1] + end)
