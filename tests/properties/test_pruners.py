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
from autotune.goals import Resource
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

    def __init__(self, pair: Pair, direction: Direction, *, resource: Resource = "epochs") -> None:
        self._pair = pair
        self._resource: Resource = resource
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
        options = {name.replace("epochs", self._resource): value for name, value in self._pair.options.items()}
        pruner = make_pruner(
            Choice(name=self._pair.name, options=options),
            study=STUDY,
            direction=self._direction,
            max_resource=STEPS,
            resource=self._resource,
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


@pytest.mark.parametrize(
    "pair",
    [pair for pair in PAIRS if "min_epochs" in pair.options],  # another first rung is meant by default
    ids=lambda pair: f"{pair.name}-{'-'.join(map(str, pair.options.values()))}",
)
@settings(max_examples=30)
@given(
    curves=st.lists(st.lists(st.floats(-2.0, 2.0), min_size=1, max_size=STEPS), max_size=12),
    direction=st.sampled_from(["maximize", "minimize"]),
)
def test_trials_that_report_at_every_second_are_pruned_as_those_of_epochs(
    pair: Pair, curves: list[list[float]], direction: Direction
) -> None:
    both = Both(pair, direction, resource="seconds")
    for number, curve in enumerate(curves):
        both.start()
        for second, value in enumerate(curve, start=1):
            both.report(number, step=second, value=value)
            ours, theirs = both.answers(number)
            assert ours == theirs
        both.end(number, TrialState.COMPLETE)
        both.reopen()


@pytest.mark.parametrize("resource", ["seconds", "samples"])
@pytest.mark.parametrize("name", ["successive_halving", "hyperband", "median"])
@settings(max_examples=30)
@given(
    trials=st.lists(st.tuples(st.integers(1, 40), st.sampled_from([1.0, 2.0, 4.0])), min_size=2, max_size=30),
    best=st.tuples(st.integers(0, 30), st.integers(1, 40)),
)
def test_trial_that_learns_fastest_is_never_pruned_however_long_epochs_are(
    name: str, resource: Resource, trials: list[tuple[int, float]], best: tuple[int, int]
) -> None:
    """What others came to with more of the resource would be held against it."""
    whole, fastest = 100, 8.0
    trials = [*trials[: best[0]], (best[1], fastest), *trials[best[0] :]]
    pruner = make_pruner(
        Choice(name=name, options={}), study=STUDY, direction="maximize", max_resource=whole, resource=resource
    )
    mirror = Mirror(pruner=pruner, steps=range(1, whole + 1))
    for number, (epoch, speed) in enumerate(trials):
        for step in range(epoch, whole, epoch):
            mirror.report(number, step=step, value=speed * step)
            is_pruned, _ = mirror.should_prune(number)
            assert not (is_pruned and speed == fastest)
            if is_pruned:
                break
        mirror.finish(number, state=TrialState.COMPLETE)
