"""How a figure reads: so many digits, no exponent where a person would write none, and no ratio that tells nothing."""

_HUGE = 1e12
"""From this size on a number is written with a power of ten."""
TOO_NOISY = "too noisy to tell apart"
"""Stands in the place of a ratio and its interval that tell nothing."""
_BLIND_SPAN = 100.0
"""Greatest over least of an interval from which on a ratio is no figure: two orders of magnitude."""


def format_figure(value: float, *, digits: int, is_signed: bool = False) -> str:
    """``0.0123`` and ``12.3`` with three digits, ``12,345`` whole, where ``g`` alone would print ``1.23e+04``."""
    sign = "+" if is_signed else ""
    text = format(value, f"{sign}.{digits}g")
    return format(value, f"{sign},.0f") if "e+" in text and abs(value) < _HUGE else text


def tells_nothing(*, low: float, high: float) -> bool:
    """Whether this interval of a ratio says neither which of two is more nor, within a factor of 100, by how much."""
    return low < 1 < high and high > _BLIND_SPAN * low
