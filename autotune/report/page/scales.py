"""From values to places on a drawing, with ticks that people can read."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_MOST_TICKS = 5
_DECADES_FOR_LOG = 1.5


@dataclass(frozen=True)
class Scale:
    """A linear or logarithmic scale from ``low`` to ``high``, or one with a place for each category."""

    low: float
    high: float
    is_log: bool = False
    categories: tuple[str, ...] = ()
    is_whole: bool = False
    """The scale has ticks only at whole numbers."""

    def share(self, value: float) -> float:
        """The place of a value on the scale, 0 to 1; a value beyond an end is placed at that end."""
        if self.is_log:
            value, low, high = (math.log10(max(v, 1e-300)) for v in (value, self.low, self.high))
        else:
            low, high = self.low, self.high
        return 0.5 if high == low else min(1.0, max(0.0, (value - low) / (high - low)))

    @property
    def ticks(self) -> tuple[tuple[float, str], ...]:
        """Values with their labels."""
        if self.categories:
            return tuple(enumerate(self.categories))
        return tuple((value, _label(value, step)) for value, step in (_decades(self) if self.is_log else _rounds(self)))


def scale_of(values: Iterable[float], *, log: bool | None = None, margin: float = 0.04) -> Scale:
    """A scale that holds all values; if ``log`` is None, logarithmic where they span decades."""
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return Scale(0.0, 1.0)
    low, high = min(finite), max(finite)
    is_log = log if log is not None else low > 0 and math.log10(high / low) > _DECADES_FOR_LOG
    if is_log and low > 0:
        spread = max(math.log10(high / low), 0.1) * margin
        return Scale(low / 10**spread, high * 10**spread, is_log=True)
    pad = (high - low or abs(high) or 1.0) * margin
    return Scale(low - pad, high + pad)


def focused(values: Sequence[float], *, is_maximized: bool, complete: Sequence[float] = ()) -> Scale:
    """A scale for the better values, since a few hopeless ones would leave no room to tell the others apart.

    Args:
        values: All values that are drawn; those off the scale are drawn on its edge.
        is_maximized: Larger values are better.
        complete: Values of complete trials. With at least three, the scale ends half their span below the worst
            of them; with fewer, it holds the better three quarters of all values.
    """
    finite = sorted(value for value in values if math.isfinite(value))
    trained = [value for value in complete if math.isfinite(value)]
    if len(trained) > 2 and max(trained) > min(trained):  # noqa: PLR2004 - two span too little
        span = max(trained) - min(trained)
        low, high = min(trained) - span / 2, max(trained) + span / 2
        kept = [value for value in finite if (value >= low if is_maximized else value <= high)]
        return scale_of(kept)
    if len(finite) < 8:  # noqa: PLR2004 - of few values none is left out
        return scale_of(finite)
    cut = len(finite) // 4
    return scale_of(finite[cut:] if is_maximized else finite[: len(finite) - cut])


def categories_of(names: Sequence[str]) -> Scale:
    """A scale with a place for each name, and half a place of room at both ends."""
    return Scale(-0.5, len(names) - 0.5, categories=tuple(names))


def _rounds(scale: Scale) -> list[tuple[float, float]]:
    span = scale.high - scale.low
    if span <= 0 or not math.isfinite(span):
        return []
    rough = span / _MOST_TICKS
    power = 10 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    step = max(1, step) if scale.is_whole else step
    first = math.ceil(scale.low / step - 1e-9)
    last = math.floor(scale.high / step + 1e-9)
    return [(number * step, step) for number in range(first, last + 1)]


def _decades(scale: Scale) -> list[tuple[float, float]]:
    first, last = math.ceil(math.log10(scale.low)), math.floor(math.log10(scale.high))
    if last - first < 1:
        return [(value, value) for value in (scale.low, scale.high)]
    stride = max(1, -(-(last - first) // _MOST_TICKS))
    return [(10.0**power, 10.0**power) for power in range(first, last + 1, stride)]


def _label(value: float, step: float) -> str:
    if value == 0:
        return "0"
    if abs(value) >= 1e6 or abs(value) < 1e-3:  # noqa: PLR2004 - too long to be read as digits
        mantissa, _, exponent = f"{value:.1e}".partition("e")
        return f"{mantissa.removesuffix('.0')}e{int(exponent)}"
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    return f"{value:,.{digits}f}"
