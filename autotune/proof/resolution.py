"""How finely a metric is read: an accuracy over 1,000 samples moves in steps of 0.001.

Three trainings that all end at 0.97 do not say that nothing moves, only that what moves is less than
a step. Values that lie on a grid hide a deviation of up to half of its step: with half of the draws
at each of two neighbours, three are equal in one case of four. So half of the smallest step that was
ever seen is the least deviation that a comparison of means believes. One step between three and
three equal values is then no difference, and between four and four it is one: by chance that comes
in at most 2 of 256 studies.
"""

import math
from collections.abc import Iterable
from itertools import pairwise

_NOISE = 1e-6
"""Share of the largest value; a smaller difference is a rounding error of float32, not a step."""


def step_of(values: Iterable[float]) -> float:
    """The smallest difference between two of the values; 0 where all are alike. Infinities and NaN are left out.

    The values of a metric without a grid all differ, so this step is smaller than their spread, and has no effect.
    """
    known = sorted({value for value in values if math.isfinite(value)})
    if not known:
        return 0.0
    least = _NOISE * max(abs(known[0]), abs(known[-1]))
    return min((high - low for low, high in pairwise(known) if high - low > least), default=0.0)
