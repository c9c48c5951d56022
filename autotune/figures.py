"""How a figure reads: so many digits, and no exponent where a person would write none."""

_HUGE = 1e12
"""From this size on a number is written with a power of ten."""


def format_figure(value: float, *, digits: int, is_signed: bool = False) -> str:
    """``0.0123`` and ``12.3`` with three digits, ``12,345`` whole, where ``g`` alone would print ``1.23e+04``."""
    sign = "+" if is_signed else ""
    text = format(value, f"{sign}.{digits}g")
    return format(value, f"{sign},.0f") if "e+" in text and abs(value) < _HUGE else text
