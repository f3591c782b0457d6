"""Kubernetes quantities: `500m`, `0.5`, `50M`, `50Mi`, `1024`."""

import re
from decimal import ROUND_CEILING, Context, Decimal

from cloud.errors import Invalid

_QUANTITY = re.compile(
    r"(?P<number>[0-9]{1,18}(?:\.[0-9]{0,9})?|\.[0-9]{1,9})"
    r"(?P<suffix>n|u|m|k|K|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|[eE][+-]?[0-9]{1,2})?"
)
_FACTORS = {
    "": Decimal(1),
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    **{letter: Decimal(1000) ** power for power, letter in enumerate("kMGTPE", start=1)},
    "K": Decimal(1000),
    **{f"{letter}i": Decimal(1024) ** power for power, letter in enumerate("KMGTPE", start=1)},
}


# Digits enough for the largest quantity (18 digits, e99) to a thousandth.
_EXACT = Context(prec=160)


def parse_quantity(text: str) -> Decimal | None:
    """Number that *text* stands for; None if it is not a quantity."""
    found = _QUANTITY.fullmatch(text.strip())
    if not found:
        return None
    suffix = found["suffix"] or ""
    factor = _FACTORS.get(suffix)
    return _EXACT.multiply(
        Decimal(found["number"]), Decimal(f"1{suffix}") if factor is None else factor
    )


def cpu_text(quantity: Decimal) -> str:
    """Cores as a decimal number, to a thousandth, rounded up."""
    return _plain(quantity.quantize(Decimal("0.001"), ROUND_CEILING, _EXACT))


def memory_text(quantity: Decimal) -> str:
    """Bytes as an integer, rounded up."""
    return _plain(quantity.to_integral_value(ROUND_CEILING))


def check_cpu(field: str, text: str) -> None:
    """Refuse what is not a number of cores."""
    if parse_quantity(text) is None:
        raise Invalid(field, f"{text[:40]!r} is not a number of cores such as 2, 0.5 or 500m")


def check_memory(field: str, text: str) -> None:
    """Refuse what is not an amount of memory."""
    if parse_quantity(text) is None:
        raise Invalid(field, f"{text[:40]!r} is not an amount of memory such as 50M, 50Mi or 1024")


def _plain(number: Decimal) -> str:
    text = format(number, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
