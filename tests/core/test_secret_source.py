"""Which sources a secret may name, and by what names a namespace finds its own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.core.secret import SecretSpec, checked_secret_spec
from cloud.core.secret_source import (
    SOURCES_LIMIT,
    SecretSource,
    SourceState,
    values_digest,
    variable_name,
)
from cloud.errors import Invalid


def field_of(source: SecretSource, **data: str) -> str:
    """What is refused."""
    with pytest.raises(Invalid) as caught:
        checked_secret_spec(SecretSpec(data, data_from={"k": source}))
    return caught.value.field


@pytest.mark.parametrize(
    "path",
    [
        *("/etc/shadow", "../other/db", "a/../../b", "a/..", ".", ".hidden", "a//b", "a/", "a/.b"),
        *("a\\b", "a b", "a\0b", "a\n", "ä", "%2e%2e/a", "a?x", "a#x", "x" * 201),
    ],
)
def test_no_path_leads_out_of_its_directory(path: str) -> None:
    assert field_of(SecretSource(file=path)) == "dataFrom.k.file"
    assert field_of(SecretSource(vault=path, field="f")) == "dataFrom.k.vault"


@pytest.mark.parametrize("name", ["db", "A__B", "_A", "A_", "A-B", "A=B", "A\0", "PATH "])
def test_a_variable_has_capitals_and_single_underscores(name: str) -> None:
    assert field_of(SecretSource(env=name)) == "dataFrom.k.env"


def test_a_value_has_one_source_and_is_given_once() -> None:
    assert field_of(SecretSource()) == "dataFrom.k"
    assert field_of(SecretSource(file="a", env="A")) == "dataFrom.k"
    assert field_of(SecretSource(file="a"), k="v") == "dataFrom.k"
    assert field_of(SecretSource(file="a", field="f")) == "dataFrom.k.field"
    assert field_of(SecretSource(vault="a")) == "dataFrom.k.field"
    assert field_of(SecretSource(vault="a", field="a/b")) == "dataFrom.k.field"
    many = {f"k{number}": SecretSource(file="a") for number in range(SOURCES_LIMIT + 1)}
    with pytest.raises(Invalid, match="more than the limit"):
        checked_secret_spec(SecretSpec(data_from=many))


def test_a_secret_without_sources_is_stored_as_before() -> None:
    assert checked_secret_spec(SecretSpec({"a": "b"}, data_from={})) == SecretSpec({"a": "b"})


# Few letters, so that two of them are often the same with another place for the limit between them.
names = st.from_regex(r"\A[AB]{1,2}(_[AB]{1,2}){0,3}\Z", fullmatch=True)
namespaces = st.from_regex(r"\A[ab]{1,2}(-[ab]{1,2}){0,2}\Z", fullmatch=True)


@given(namespaces, names, namespaces, names)
def test_no_variable_is_of_two_namespaces(first: str, name: str, second: str, other: str) -> None:
    same = variable_name("SECRET_", first, name) == variable_name("SECRET_", second, other)
    assert same is ((first, name) == (second, other))


def test_a_digest_shows_whether_values_are_the_same_with_its_key_alone() -> None:
    digest = values_digest("salt", {"a": "1", "b": "2"})
    assert values_digest("salt", {"b": "2", "a": "1"}) == digest
    assert values_digest("other", {"a": "1", "b": "2"}) != digest
    state = SourceState("salt", digest)
    assert state.is_of({"a": "1", "b": "2"})
    assert not state.is_of({"a": "1", "b": "3"})
    assert not SourceState().is_of({})
