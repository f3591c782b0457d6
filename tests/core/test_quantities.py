from collections.abc import Callable
from decimal import Decimal, localcontext
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.core.quantities import check_cpu, check_memory, cpu_text, memory_text, parse_quantity
from tests.core.refusals import field_refused

SUFFIXES = {
    "": Fraction(1), "n": Fraction(1, 10**9), "u": Fraction(1, 10**6), "m": Fraction(1, 1000),
    "k": Fraction(10**3), "K": Fraction(10**3), "M": Fraction(10**6), "G": Fraction(10**9),
    "T": Fraction(10**12), "P": Fraction(10**15), "E": Fraction(10**18),
    "Ki": Fraction(2**10), "Mi": Fraction(2**20), "Gi": Fraction(2**30),
    "Ti": Fraction(2**40), "Pi": Fraction(2**50), "Ei": Fraction(2**60),
    "e3": Fraction(1000), "E3": Fraction(1000), "e-3": Fraction(1, 1000), "e+2": Fraction(100),
    "e99": Fraction(10**99), "e-99": Fraction(1, 10**99),
}  # fmt: skip

numbers = st.one_of(
    st.integers(0, 10**18 - 1).map(str),
    st.decimals(0, 10**9, places=9, allow_nan=False, allow_infinity=False).map(
        lambda number: format(number, "f")
    ),
    st.sampled_from([".5", "5.", "0", "0.0", "007"]),
)


@given(numbers, st.sampled_from(sorted(SUFFIXES)))
def test_a_quantity_is_its_number_times_its_suffix(number: str, suffix: str) -> None:
    found = parse_quantity(number + suffix)
    assert found is not None
    assert Fraction(found) == Fraction(Decimal(number)) * SUFFIXES[suffix]


@given(numbers, st.sampled_from(sorted(SUFFIXES)))
def test_what_is_shown_is_never_less_and_less_than_one_unit_more(number: str, suffix: str) -> None:
    quantity = parse_quantity(number + suffix)
    assert quantity is not None
    cpu, memory = Fraction(cpu_text(quantity)), Fraction(memory_text(quantity))
    assert 0 <= cpu - Fraction(quantity) < Fraction(1, 1000)
    assert 0 <= memory - Fraction(quantity) < 1
    assert memory_text(quantity).isdigit()


@given(numbers, st.sampled_from(sorted(SUFFIXES)))
def test_what_is_shown_can_be_shown_again(number: str, suffix: str) -> None:
    quantity = parse_quantity(number + suffix)
    assert quantity is not None
    for text in (cpu_text, memory_text):
        shown = Decimal(text(quantity))
        assert text(shown) == text(Decimal(str(shown))) == format(shown, "f")


def test_the_precision_of_the_thread_does_not_count() -> None:
    with localcontext() as context:
        context.prec = 2
        quantity = parse_quantity("123456789Gi")
        assert quantity == 123456789 * 2**30
        assert memory_text(quantity) == str(123456789 * 2**30)
        assert cpu_text(quantity) == str(123456789 * 2**30)


@pytest.mark.parametrize(
    ("text", "shown"),
    [("500m", "0.5"), ("2", "2"), ("0.1234", "0.124"), ("1n", "0.001"), ("0", "0"), ("1k", "1000")],
)
def test_cpu_is_shown_in_cores(text: str, shown: str) -> None:
    quantity = parse_quantity(text)
    assert quantity is not None
    assert cpu_text(quantity) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [("50M", "50000000"), ("50Mi", "52428800"), ("1024", "1024"), ("0.5Ki", "512"), ("1m", "1")],
)
def test_memory_is_shown_in_bytes(text: str, shown: str) -> None:
    quantity = parse_quantity(text)
    assert quantity is not None
    assert memory_text(quantity) == shown


NOT_QUANTITIES = [
    "", " ", ".", "m", "Ki", "-1", "+1", "1 Mi", "1mi", "1KiB", "1MB", "1e", "1e999", "1_000",
    "1,5", "0x10", "NaN", "Infinity", "inf", "1..2", "1.2.3", "\u0663", "\u00bd", "1\0",
    "9" * 19,
]  # fmt: skip


@pytest.mark.parametrize("text", NOT_QUANTITIES)
@pytest.mark.parametrize("check", [check_cpu, check_memory])
def test_what_is_no_quantity_is_refused(check: Callable[[str, str], None], text: str) -> None:
    assert parse_quantity(text) is None
    assert field_refused(check, "limits.cpu", text) == "limits.cpu"


@pytest.mark.parametrize("text", ["0.5", "500m", "50M", "50Mi", "1024", " 1 "])
def test_the_forms_of_the_contract_are_taken(text: str) -> None:
    check_cpu("cpu", text)
    check_memory("memory", text)


@given(st.text())
def test_any_text_is_a_quantity_or_none(text: str) -> None:
    quantity = parse_quantity(text)
    assert quantity is None or quantity.is_finite()


@pytest.mark.parametrize("text", ["1", "1.", ".1", "1m", "1e", " ", "\n", "-", "1 "])
@pytest.mark.parametrize("end", ["", "x", "Ki", "e99"])
def test_hostile_quantities_are_answered_at_once(text: str, end: str) -> None:
    quantity = parse_quantity(text * 100_000 + end)
    assert quantity is None or quantity.is_finite()
    if quantity is None:
        assert field_refused(check_cpu, "cpu", text * 100_000 + end) == "cpu"
