"""Checks of settings, whose messages name the field, its value and what it may be."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any


def check_number(
    name: str, value: Any, low: float, high: float, whole: bool = False
) -> int | float:
    """Return `value` as an int or float if it is a number from `low` to `high`.

    Args:
        name: name of the field.
        value: what was given for it.
        low, high: the range; both ends are allowed, unless they are infinite.
        whole: whether it must be a whole number.

    Raises:
        ValueError: if it is not.
    """
    kind: Any = Integral if whole else Real
    if isinstance(value, kind) and not isinstance(value, bool):
        try:
            number = int(value) if whole else float(value)
            if low <= number <= high and math.isfinite(number):
                return number
        except OverflowError:  # a whole number of hundreds of digits
            pass
    expected = "a whole number" if whole else "a number"
    limits = f"at least {low:g}" if math.isinf(high) else f"from {_text(low)} to {_text(high)}"
    raise ValueError(f"{name} must be {expected} {limits}, not {reprlib.repr(value)}")


def check_choice(name: str, value: Any, choices: Iterable[str]) -> None:
    """Raise ValueError if `value` is not one of `choices`."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, not {reprlib.repr(value)}")


def check_type(name: str, value: Any, kind: type | tuple[type, ...], description: str) -> None:
    """Raise ValueError if `value` is not of a type, which `description` names in words."""
    if not isinstance(value, kind):
        raise ValueError(f"{name} must be {description}, not {reprlib.repr(value)}")


def _text(number: float) -> str:
    return f"{number:g}" if isinstance(number, float) else str(number)
