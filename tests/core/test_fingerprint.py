from hypothesis import given
from hypothesis import strategies as st

from cloud.core.fingerprint import ALL_TYPES, FingerprintType, is_same, normalised
from tests.strategies import fingerprints


def test_the_types_are_the_bits_of_the_contract() -> None:
    assert [(kind.name, kind.value) for kind in FingerprintType] == [
        ("SN", 1),
        ("INPUT", 2),
        ("HOSTNAME", 4),
        ("BOOTID", 8),
        ("SYSTEMUUID", 16),
        ("MACHINEID", 32),
    ]
    assert sum(FingerprintType) == ALL_TYPES


def test_case_and_white_space_around_do_not_count() -> None:
    assert normalised(" 8C4F-1a52\r\n") == "8c4f-1a52"
    assert normalised("a b") == "a b"


@given(fingerprints, fingerprints)
def test_two_are_the_same_when_their_normal_forms_are(one: str, other: str) -> None:
    assert is_same(one, other) == (normalised(one) == normalised(other))
    assert is_same(f" {one.upper()}\n", one)


@given(st.text())
def test_normalising_twice_is_normalising_once(text: str) -> None:
    assert normalised(normalised(text)) == normalised(text)


@given(st.text(alphabet=st.characters(codec="ascii")), st.sampled_from(["", " ", "\n", "\t "]))
def test_a_fingerprint_is_the_same_however_it_is_typed(text: str, space: str) -> None:
    assert normalised(f"{space}{text.upper()}{space}") == normalised(text.lower())
