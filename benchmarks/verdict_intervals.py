"""How often each interval of a verdict holds the truth, and how wide it is: three bootstraps, Welch's, and ours.

Two sides of so many values are drawn, whose true difference of means is known; each method gives its
95 % interval. Noise is normal, skewed (lognormal), bimodal (one training in four ends far lower), with
the same spread on both sides or three times as much on the winner's, and, last, normal noise beside
as much again that both trainings of a round share, as of a machine that drifts. There the methods
that pair the rounds have their best case. Widths are medians, in standard deviations of the noise.

    python benchmarks/verdict_intervals.py [--studies 1000] [--repeats 3 5 10]
"""

import argparse
import functools
import math
import statistics
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from autotune.proof.statistics import difference_of_means
from benchmarks.figures import header

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Values = NDArray[np.float64]

_CONFIDENCE = 0.95
_RESAMPLES = 2000
_SEED = 0
_LOW_SHARE = 0.25
_TAILS = [(1 - _CONFIDENCE) / 2, (1 + _CONFIDENCE) / 2]


def normal(generator: np.random.Generator, count: int) -> "Values":
    """Mean 0, standard deviation 1, as of all of them."""
    return generator.normal(size=count)


def skewed(generator: np.random.Generator, count: int) -> "Values":
    """Lognormal, of which the logarithms have the deviation 1."""
    drawn = generator.lognormal(size=count)
    return (drawn - math.exp(0.5)) / math.sqrt((math.e - 1) * math.e)


def bimodal(generator: np.random.Generator, count: int) -> "Values":
    """One of four lies far below the others, which are close together."""
    drawn = np.where(generator.random(count) < _LOW_SHARE, -3.0, 1.0) + generator.normal(scale=0.3, size=count)
    return drawn / math.sqrt(3.09)


def percentile(one: "Values", other: "Values") -> tuple[float, float]:
    """Of the bootstrap's differences."""
    return _of_scipy(one, other, method="percentile")


def bca(one: "Values", other: "Values") -> tuple[float, float]:
    """Bias-corrected and accelerated (Efron 1987)."""
    return _of_scipy(one, other, method="BCa")


def bootstrap_t(one: "Values", other: "Values") -> tuple[float, float]:
    """The studentised bootstrap (Efron and Tibshirani 1993, section 12.5)."""
    drawn_one, drawn_other = _resampled(one, seed=_SEED), _resampled(other, seed=_SEED + 1)
    value = float(one.mean() - other.mean())
    differences = drawn_one.mean(axis=1) - drawn_other.mean(axis=1) - value
    errors = np.sqrt(drawn_one.var(axis=1, ddof=1) / len(one) + drawn_other.var(axis=1, ddof=1) / len(other))
    error = math.sqrt(one.var(ddof=1) / len(one) + other.var(ddof=1) / len(other))
    return _studentised(value, error, differences, errors)


def paired_bootstrap_t(one: "Values", other: "Values") -> tuple[float, float]:
    """The same of the rounds' differences."""
    pairs = one - other
    drawn = _resampled(pairs, seed=_SEED)
    errors = drawn.std(axis=1, ddof=1) / math.sqrt(len(pairs))
    value, error = float(pairs.mean()), float(pairs.std(ddof=1)) / math.sqrt(len(pairs))
    return _studentised(value, error, drawn.mean(axis=1) - value, errors)


def welch(one: "Values", other: "Values") -> tuple[float, float]:
    """Welch's t alone."""
    found = stats.ttest_ind(one, other, equal_var=False).confidence_interval(_CONFIDENCE)
    return float(found.low), float(found.high)


def ours(one: "Values", other: "Values") -> tuple[float, float]:
    """As a verdict shows it: Welch's, widened to the percentile bootstrap's."""
    found = difference_of_means(one.tolist(), other.tolist(), confidence=_CONFIDENCE)
    return found.low, found.high


Method = Callable[["Values", "Values"], tuple[float, float]]
METHODS: Mapping[str, Method] = {
    "percentile": percentile,
    "BCa": bca,
    "bootstrap-t": bootstrap_t,
    "paired bootstrap-t": paired_bootstrap_t,
    "Welch's": welch,
    "ours": ours,
}
NOISES = {"normal": normal, "skewed": skewed, "bimodal": bimodal}


def measure(method: Method, sides: Sequence[tuple["Values", "Values"]]) -> tuple[float, float]:
    """The share of intervals that hold 0, the true difference, and their median width."""
    intervals = [method(one, other) for one, other in sides]
    covered = sum(low <= 0 <= high for low, high in intervals)  # one that is no number holds nothing
    widths = [high - low if math.isfinite(high - low) else math.inf for low, high in intervals]
    return covered / len(intervals), statistics.median(widths)


def draw(noise: str, *, spread: float, count: int, studies: int, is_drifting: bool) -> list[tuple["Values", "Values"]]:
    """Both sides of each study; the same for every method."""
    generator = np.random.default_rng((_SEED, count))
    sides = []
    for _ in range(studies):
        shared = generator.normal(size=count) if is_drifting else np.zeros(count)
        one, other = (factor * NOISES[noise](generator, count) + shared for factor in (spread, 1.0))
        sides.append((one, other))
    return sides


def main() -> None:
    """Print a table: a row for each noise, method by method."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=1000)
    parser.add_argument("--repeats", type=int, nargs="+", default=[3, 5, 10])
    arguments = parser.parse_args()
    print(header("numpy", "scipy"))
    print(f"{arguments.studies} studies each; coverage of {_CONFIDENCE:.0%} intervals, median width")
    print(f"| noise | repeats | {' | '.join(METHODS)} |")
    print(f"|{'---|' * (2 + len(METHODS))}")
    cases = [(noise, spread, False) for noise in NOISES for spread in (1.0, 3.0)] + [("normal", 1.0, True)]
    for noise, spread, is_drifting in cases:
        name = f"{noise}{', winner 3x' if spread > 1 else ''}{', with drift' if is_drifting else ''}"
        for count in arguments.repeats:
            sides = draw(noise, spread=spread, count=count, studies=arguments.studies, is_drifting=is_drifting)
            found = (measure(method, sides) for method in METHODS.values())
            cells = " | ".join(f"{100 * covered:.1f}%, {width:.2f}" for covered, width in found)
            print(f"| {name} | {count} | {cells} |", flush=True)


def _of_scipy(one: "Values", other: "Values", *, method: str) -> tuple[float, float]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of values too alike to be resampled: the interval is then NaN
        found = stats.bootstrap(
            (one, other),
            lambda a, b, axis: a.mean(axis=axis) - b.mean(axis=axis),
            n_resamples=_RESAMPLES,
            confidence_level=_CONFIDENCE,
            method=method,
            vectorized=True,
            rng=_SEED,
        ).confidence_interval
    return float(found.low), float(found.high)


def _resampled(values: "Values", *, seed: int) -> "Values":
    return values[_places(len(values), seed)]


@functools.lru_cache(maxsize=16)
def _places(count: int, seed: int) -> "NDArray[np.int64]":
    return np.random.default_rng(seed).integers(0, count, (_RESAMPLES, count))


def _studentised(value: float, error: float, differences: "Values", errors: "Values") -> tuple[float, float]:
    """A resample whose values are all alike has an infinite t, unless its difference is none."""
    with np.errstate(divide="ignore", invalid="ignore"):
        drawn = np.nan_to_num(differences / errors, nan=0.0, posinf=math.inf, neginf=-math.inf)
    low, high = np.quantile(drawn, _TAILS, method="nearest")
    return value - float(high) * error, value - float(low) * error


if __name__ == "__main__":
    main()
