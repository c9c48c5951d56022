"""The verdict on one winner: what is surely different from the baseline, and what to do."""

import math
import statistics
from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict

from autotune.events import Outcome
from autotune.goals import SAMPLES_PER_SECOND
from autotune.proof.quantities import (
    CONFIDENCE,
    SECONDS_TO_TARGET,
    Case,
    Quantity,
    Side,
    compare,
    compare_throughput,
    success_rate,
)

SPEED_CONFIDENCE = 0.995
"""Of the second look, at throughput, where the objective shows no difference: both looks together call equal
configurations different in at most 5 of 100 studies."""

Conclusion: TypeAlias = Literal["better", "faster", "worse", "no significant gain", "too few trainings"]
Advice: TypeAlias = Literal["take the winner", "keep the reference", "train more"]

_ADVICE: dict[Conclusion, Advice] = {
    "better": "take the winner",
    "faster": "take the winner",
    "worse": "keep the reference",
    "no significant gain": "keep the reference",
    "too few trainings": "train more",
}


class Verdict(BaseModel):
    """What trainings on fresh seeds say of a trial against another one, usually the baseline."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")

    study: str
    metric: str
    """Of the study's first objective."""
    winner: int
    """Trial number in the search."""
    is_best: bool
    """It still is the search's best trial."""
    reference: int
    is_against_baseline: bool
    target: str | None
    """In words, where a time to a target was compared."""
    num_winner: int
    """Trainings that have ended."""
    num_reference: int
    num_wanted: int
    """Trainings a side that were asked for."""
    winner_success_rate: float | None
    """Share of trainings that came to the target, or to their end where there is no target."""
    reference_success_rate: float | None
    quantities: tuple[Quantity, ...]
    """The objective first, where it was measured on both sides."""
    conclusion: Conclusion
    advice: Advice
    search_value: float | None
    """The winner's value in the search."""
    optimism: float | None
    """How much better that is than its mean on fresh seeds; above 0 the search's value was flattered by luck."""
    spent_seconds: float
    """On search and confirmation."""
    saved_seconds: float | None
    """A training; None unless the winner is surely faster."""
    break_even_trainings: int | None
    """After so many the search has paid for itself."""
    confidence: float = CONFIDENCE
    others: tuple["Verdict", ...] = ()
    """On the next best trials, where several were confirmed."""

    def quantity(self, name: str) -> Quantity | None:
        """The one of that name, if it was compared."""
        return next((quantity for quantity in self.quantities if quantity.name == name), None)


def judge(case: Case, *, winners: Side, references: Side) -> Verdict:
    """The verdict; trainings that failed count in the success rates, and as never having seen the target."""
    quantities = compare(case, winners=winners, references=references)
    conclusion = _conclude(case, quantities, winners=winners, references=references)
    saved = _saved(case, quantities, winners=winners, references=references)
    return Verdict(
        study=case.study,
        metric=case.metric,
        winner=case.winner,
        is_best=case.is_best,
        reference=case.reference,
        is_against_baseline=case.is_against_baseline,
        target=case.target.text if case.target else None,
        num_winner=len(winners),
        num_reference=len(references),
        num_wanted=case.num_wanted,
        winner_success_rate=success_rate(case, winners),
        reference_success_rate=success_rate(case, references),
        quantities=quantities,
        conclusion=conclusion,
        advice=_ADVICE[conclusion],
        search_value=case.search_value,
        optimism=_optimism(case, winners),
        spent_seconds=case.spent_seconds,
        saved_seconds=saved,
        break_even_trainings=math.ceil(case.spent_seconds / saved) if saved else None,
        confidence=case.confidence,
    )


def _conclude(case: Case, quantities: tuple[Quantity, ...], *, winners: Side, references: Side) -> Conclusion:
    objective = next((quantity for quantity in quantities if quantity.name == case.objective_name), None)
    if objective is None or objective.finding == "too few":
        return "too few trainings"
    if objective.finding == "worse":
        return "worse"
    if _num_lost(winners) > _num_lost(references):  # what failed has no value that a mean could hold against it
        return "no significant gain"
    if objective.finding == "better":
        return "better"
    # The second look has a price: it has to be surer than the first.
    confidence = 1 - (1 - SPEED_CONFIDENCE) / case.num_winners
    speed = compare_throughput(winners, references, confidence=confidence)
    if speed is not None and speed.finding == "better" and case.objective_name != SAMPLES_PER_SECOND:
        return "faster"
    return "no significant gain"


def _num_lost(side: Side) -> int:
    return sum(training.outcome not in {Outcome.COMPLETE, Outcome.PRUNED} for training in side)


def _optimism(case: Case, winners: Side) -> float | None:
    values = [training.value for training in winners if training.value is not None]
    if case.search_value is None or not values or not all(math.isfinite(value) for value in values):
        return None
    flattered = case.search_value - statistics.fmean(values)
    return flattered if case.is_more_better else -flattered


def _saved(case: Case, quantities: tuple[Quantity, ...], *, winners: Side, references: Side) -> float | None:
    """Seconds that a training with the winner takes less, where it is surely the faster one."""
    name = SECONDS_TO_TARGET if case.target else SAMPLES_PER_SECOND
    clock = next((quantity for quantity in quantities if quantity.name == name), None)
    if clock is None or clock.finding != "better":
        return None
    if case.target:
        sides = [statistics.median(training.seconds_to_target for training in side) for side in (references, winners)]
    else:
        known = [[each.seconds for each in side if each.seconds is not None] for side in (references, winners)]
        if not all(known):
            return None
        sides = [statistics.median(seconds) for seconds in known]
    saved = sides[0] - sides[1]
    return saved if math.isfinite(saved) and saved > 0 else None
