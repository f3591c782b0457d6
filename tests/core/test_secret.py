import msgspec
import pytest

from cloud.core.secret import SIZE_LIMIT, Secret, SecretSpec, checked_secret_spec
from cloud.errors import Invalid
from tests.core.refusals import field_refused
from tests.core.strategies import START


def test_a_secret_holds_any_text_under_file_names() -> None:
    spec = SecretSpec({"password": "pä$$\n", ".netrc": ""}, "of the database")
    assert checked_secret_spec(spec) is spec


def test_no_value_is_shown_where_secrets_are_printed() -> None:
    spec = SecretSpec({"password": "s3cret"})
    secret = Secret("default", "db", spec, "1", START, START)
    assert "s3cret" not in f"{spec} {spec!r} {secret} {secret!r} {(spec, secret)}"


@pytest.mark.parametrize("key", ["", "a/b", "..", "a b", "x" * 254])
def test_a_key_that_is_no_file_name_is_refused(key: str) -> None:
    assert field_refused(checked_secret_spec, SecretSpec({key: "s3cret"})) == "data"


def test_a_secret_has_a_limit_in_bytes() -> None:
    rest = len(msgspec.json.encode(SecretSpec({"a": ""})))
    checked_secret_spec(SecretSpec({"a": "x" * (SIZE_LIMIT - rest)}))
    assert field_refused(checked_secret_spec, SecretSpec({"a": "x" * (SIZE_LIMIT - rest + 1)})) == (
        "data"
    )


@pytest.mark.parametrize("data", [{"a": "s3cret" * SIZE_LIMIT}, {"a/b": "s3cret"}])
def test_a_refusal_never_holds_the_value(data: dict[str, str]) -> None:
    with pytest.raises(Invalid) as caught:
        checked_secret_spec(SecretSpec(data))
    assert "s3cret" not in str(caught.value)
