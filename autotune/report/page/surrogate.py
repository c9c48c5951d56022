"""A random forest fitted to a study's trials, which estimates the effect of each parameter on the objective."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from autotune.events import Scalar
from autotune.report.summaries.record import StudyRecord
from autotune.report.summaries.trials import TrialSummary

if TYPE_CHECKING:
    import numpy as np
    from sklearn.ensemble import RandomForestRegressor

LEAST_TRIALS = 10
LEAST_SKILL = 0.1
"""Lowest useful skill: a forest that explains less of the variance of trials it has not seen tells nothing."""
_LARGEST = 1e100
"""Largest value of a metric that is fitted: its square must still be a finite number."""
_MOST_EXACT = 6
_NUM_ORDERS = 256

METHOD = (
    "A forest of 200 trees (scikit-learn) is fitted to the last value of every trial that reported, with the epochs "
    "that it had come to as one more input; the worst quarter of values counts as the best of that quarter, so "
    "that hopeless trials do not decide."
)


@dataclass(frozen=True)
class Surrogate:
    """A forest that is fitted to a study's trials."""

    forest: "RandomForestRegressor"
    names: tuple[str, ...]
    """Names of the parameters that differ between trials."""
    rows: tuple[Mapping[str, Scalar], ...]
    """Parameters of the trials that it was fitted to."""
    features: "np.ndarray[Any, Any]"
    values: "np.ndarray[Any, Any]"
    columns: "tuple[Column, ...]"
    epochs: float
    """Epochs of a whole trial: the most that a trial had."""
    skill: float
    """R² of out-of-bag predictions: each trial is predicted by trees that have not seen it."""

    def importances(self) -> dict[str, float]:
        """Each parameter's share of the error added by shuffling its values (permutation importance), largest first."""
        import numpy as np

        generator = np.random.default_rng(0)
        before = self._error(self.features)
        losses: dict[str, float] = {}
        for name in self.names:
            own = [place for place, column in enumerate(self.columns) if column.name == name]
            errors = []
            for _ in range(10):
                shuffled = self.features.copy()
                shuffled[:, own] = shuffled[generator.permutation(len(shuffled))][:, own]
                errors.append(self._error(shuffled))
            losses[name] = max(0.0, float(np.mean(errors)) - before)
        total = sum(losses.values()) or 1.0
        shares = {name: loss / total for name, loss in losses.items()}
        return dict(sorted(shares.items(), key=lambda item: -item[1]))

    def shares(self, baseline: Mapping[str, Scalar], winner: Mapping[str, Scalar]) -> dict[str, float]:
        """The predicted effect of each differing parameter on the way from the baseline to the winner (Shapley values).

        Each is the mean over all orders of changing the parameters, or over 256 random ones where there are too many.
        The values add up to the forest's prediction for the whole change.
        """
        differing = [name for name in self.names if baseline.get(name, ...) != winner.get(name, ...)]
        worth = self._worths(differing, baseline, winner)
        orders = _orders(len(differing))
        shares = dict.fromkeys(differing, 0.0)
        for order in orders:
            done: frozenset[int] = frozenset()
            for place in order:
                more = done | {place}
                shares[differing[place]] += (worth[more] - worth[done]) / len(orders)
                done = more
        return shares

    def _worths(
        self, differing: Sequence[str], baseline: Mapping[str, Scalar], winner: Mapping[str, Scalar]
    ) -> dict[frozenset[int], float]:
        """The forest's prediction for each set of changed parameters that occurs in one of the orders."""
        sets: dict[frozenset[int], None] = {frozenset(): None}
        for order in _orders(len(differing)):
            for length in range(1, len(order) + 1):
                sets[frozenset(order[:length])] = None
        mixtures = []
        for changed in sets:
            mixture = dict(baseline)
            for place in changed:
                mixture.pop(differing[place], None)
                if differing[place] in winner:
                    mixture[differing[place]] = winner[differing[place]]
            mixtures.append(_encode(mixture, columns=self.columns, epochs=self.epochs))
        predicted = self.forest.predict(mixtures)
        return dict(zip(sets, map(float, predicted), strict=True))

    def _error(self, features: "np.ndarray[Any, Any]") -> float:
        return float(((self.forest.predict(features) - self.values) ** 2).mean())


def fit_surrogate(record: StudyRecord) -> Surrogate | None:
    """The forest for the first objective; None where trials are too few, or have no differences to learn from."""
    objective = record.spec.objectives[0]
    seen = [
        (trial, trial.objectives[objective.metric]) for trial in record.summaries if _is_known(trial, objective.metric)
    ]
    names = tuple(dict.fromkeys(name for trial, _ in seen for name in trial.parameters))
    names = tuple(name for name in names if len({trial.parameters.get(name, ...) for trial, _ in seen}) > 1)
    if len(seen) < LEAST_TRIALS or not names:
        return None
    import numpy as np
    from sklearn.ensemble import RandomForestRegressor

    columns = _columns(names, trials=[trial for trial, _ in seen])
    features = np.array([_encode(trial.parameters, columns=columns, epochs=trial.epochs) for trial, _ in seen])
    values = np.array([value for _, value in seen])
    cut = np.quantile(values, 0.25 if objective.is_more_better else 0.75)
    values = np.maximum(values, cut) if objective.is_more_better else np.minimum(values, cut)
    if float(values.std()) == 0.0 or float(np.abs(values).max()) > _LARGEST:
        return None
    forest = RandomForestRegressor(200, min_samples_leaf=2, oob_score=True, random_state=0, n_jobs=1)
    forest.fit(features, values)
    epochs = float(max(trial.epochs for trial, _ in seen))
    rows = tuple(trial.parameters for trial, _ in seen)
    return Surrogate(forest, names, rows, features, values, columns, epochs, float(forest.oob_score_))


def _is_known(trial: TrialSummary, metric: str) -> bool:
    return math.isfinite(trial.objectives.get(metric, math.nan))


@dataclass(frozen=True)
class Column:
    """One input of the forest: a category of a parameter, or the rank of its number."""

    name: str
    category: Scalar = None
    ranks: Mapping[Scalar, float] | None = None
    """Rank of each number among the trials' values; a tree needs only their order. None for a category."""

    def encode(self, parameters: Mapping[str, Scalar]) -> float:
        """The input for these parameters; -1 where the parameter is not active."""
        if self.name not in parameters:
            return -1.0
        value = parameters[self.name]
        return float(value == self.category) if self.ranks is None else self.ranks.get(value, -1.0)


def _columns(names: Sequence[str], *, trials: Sequence[TrialSummary]) -> tuple[Column, ...]:
    columns: list[Column] = []
    for name in names:
        values = dict.fromkeys(trial.parameters[name] for trial in trials if name in trial.parameters)
        numbers = sorted(value for value in values if _is_number(value) and value is not None)
        if len(numbers) == len(values):
            columns.append(Column(name, ranks={value: float(place) for place, value in enumerate(numbers)}))
        else:
            columns += [Column(name, category=value) for value in values]
    return tuple(columns)


def _encode(parameters: Mapping[str, Scalar], *, columns: Sequence[Column], epochs: float) -> list[float]:
    return [*(column.encode(parameters) for column in columns), float(epochs)]


def _is_number(value: Scalar) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _orders(count: int) -> list[tuple[int, ...]]:
    if count <= _MOST_EXACT:
        return list(itertools.permutations(range(count)))
    import random

    generator = random.Random(0)  # noqa: S311 - no secret
    return [tuple(generator.sample(range(count), count)) for _ in range(_NUM_ORDERS)]
