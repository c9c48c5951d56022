"""Whatever trials report, and in whatever order, our pruners answer what Optuna's answer; infinity is NaN to them."""

import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    MedianPruner,
    PercentilePruner,
    SuccessiveHalvingPruner,
)
from optuna.samplers import RandomSampler
from optuna.trial import TrialState

from autotune.events import Scalar
from autotune.search.lone_curve import Direction
from autotune.search.mirror import Mirror, MirrorTrial
from autotune.search.pruners import make_pruner
from autotune.spec.model import Choice

STUDY = "a study"
STEPS = 9
VALUES = st.one_of(
    st.sampled_from([0.0, 0.25, 0.5, -1.0, math.nan, math.inf, -math.inf]), st.floats(-2.0, 2.0, allow_nan=False)
)


@dataclass(frozen=True)
class Pair:
    """A pruner of ours by its options, and Optuna's that it stands for."""

    name: str
    optuna: Callable[[], BasePruner]
    options: Mapping[str, Scalar] = field(default_factory=dict)


PAIRS = [
    Pair("median", lambda: MedianPruner(n_startup_trials=1, n_warmup_steps=1), {"startup_trials": 1}),
    Pair(
        "percentile",
        lambda: PercentilePruner(30.0, n_startup_trials=0, n_warmup_steps=3),
        {"percentile": 30.0, "startup_trials": 0, "warmup_epochs": 2},
    ),
    Pair("percentile", lambda: PercentilePruner(0.0, n_warmup_steps=1), {"percentile": 0}),
    Pair("percentile", lambda: PercentilePruner(77.7, n_warmup_steps=1), {"percentile": 77.7}),
    Pair(
        "successive_halving",
        lambda: SuccessiveHalvingPruner(min_resource=1, reduction_factor=2),
        {"min_epochs": 1, "reduction_factor": 2},
    ),
    Pair("successive_halving", lambda: SuccessiveHalvingPruner(min_resource=1, reduction_factor=4)),
    Pair("hyperband", lambda: HyperbandPruner(min_resource=1, max_resource=STEPS, reduction_factor=3)),
    Pair(
        "hyperband",
        lambda: HyperbandPruner(min_resource=2, max_resource=STEPS, reduction_factor=2),
        {"min_epochs": 2, "reduction_factor": 2},
    ),
    Pair("hyperband", lambda: HyperbandPruner(min_resource=20, max_resource=STEPS), {"min_epochs": 20}),
]


class Both:
    """A study that Optuna's pruner knows, and its mirror with ours."""

    def __init__(self, pair: Pair, direction: Direction) -> None:
        self._pair = pair
        self._direction = direction
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._pruner = pair.optuna()
        self._study = optuna.create_study(
            study_name=STUDY, direction=direction, sampler=RandomSampler(seed=0), pruner=self._pruner
        )
        self._trials: list[optuna.Trial] = []
        self.reopen()

    def start(self) -> None:
        self._trials.append(self._study.ask())

    def report(self, number: int, *, step: int, value: float) -> None:
        trial = self._trials[number]
        if step in self._study.trials[number].intermediate_values:
            return
        # Infinity as the best value of all would end every trial that comes after: ours takes it for NaN.
        trial.report(value if math.isfinite(value) else math.nan, step)
        self._mirror.report(number, step=step, value=value)

    def answers(self, number: int) -> tuple[bool, bool]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of NaN alone
            theirs = bool(self._trials[number].should_prune())
        ours, notes = self._mirror.should_prune(number)
        stored = self._study.trials[number].system_attrs
        assert {name: stored[name] for name in notes} == notes
        return ours, theirs

    def end(self, number: int, state: TrialState) -> None:
        self._study.tell(number, 0.0 if state is TrialState.COMPLETE else None, state)
        self._mirror.finish(number, state=state)

    def reopen(self) -> None:
        """As the next start of a study: the mirror is made again from what is stored."""
        pruner = make_pruner(
            Choice(name=self._pair.name, options=dict(self._pair.options)),
            study=STUDY,
            direction=self._direction,
            max_resource=STEPS,
        )
        self._mirror = Mirror(pruner=pruner)
        for trial in self._study.trials:
            attributes: dict[str, Any] = trial.system_attrs
            self._mirror.add(MirrorTrial(trial.number, trial.state, trial.intermediate_values, attributes))


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: f"{pair.name}-{'-'.join(map(str, pair.options.values()))}")
@settings(max_examples=40)
@given(data=st.data(), direction=st.sampled_from(["maximize", "minimize"]))
def test_a_pruner_answers_what_optunas_does(pair: Pair, data: st.DataObject, direction: Direction) -> None:
    both = Both(pair, direction)
    steps: dict[int, int] = {}
    for number in range(data.draw(st.integers(1, 12), label="trials")):
        both.start()
        steps[number] = 0
        for _ in range(data.draw(st.integers(0, 8), label="events")):
            if not steps:
                break
            chosen = data.draw(st.sampled_from(sorted(steps)), label="trial")
            match data.draw(st.sampled_from(["report", "report", "report", "end", "reopen"]), label="event"):
                case "report":
                    steps[chosen] += data.draw(st.integers(1, 3), label="steps")
                    both.report(chosen, step=steps[chosen], value=data.draw(VALUES, label="value"))
                    ours, theirs = both.answers(chosen)
                    assert ours == theirs
                case "end":
                    states = [TrialState.COMPLETE, TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL]
                    both.end(chosen, data.draw(st.sampled_from(states), label="state"))
                    del steps[chosen]
                case _:
                    both.reopen()
