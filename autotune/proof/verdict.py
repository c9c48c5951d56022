"""The verdict on one winner: what is surely different from the baseline, and what to do.

In JSON what is infinite or no number is null.
"""

import math
import statistics
from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict

from autotune.goals import SAMPLES_PER_SECOND
from autotune.proof.quantities import (
    CONFIDENCE,
    LAST_CONFIDENCE,
    SECONDS_TO_TARGET,
    Case,
    Quantity,
    Side,
    compare,
    compare_throughput,
    num_failed,
    success_rate,
)
from autotune.proof.statistics import LEAST_VALUES, compare_shares, num_that_tells

_SPEED_SHARE = 0.1
"""Where the objective shows no difference, throughput is looked at second, with this share of the first look's error
probability. Both together call equal configurations different in at most 5 of 100 studies."""

Conclusion: TypeAlias = Literal["better", "faster", "worse", "no significant gain", "too few trainings"]
Ground: TypeAlias = Literal["objective", "throughput", "failures"]
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

    model_config = ConfigDict(frozen=True, extra="forbid")

    study: str
    metric: str
    """The metric of the study's first objective."""
    winner: int
    """Trial number in the search."""
    is_best: bool
    """It still is the search's best trial."""
    reference: int
    is_against_baseline: bool
    target: str | None
    """The target in words; None where no time to a target was compared."""
    num_winner: int
    """Trainings of the winner that have ended."""
    num_reference: int
    num_wanted: int
    """Trainings a side that were asked for."""
    winner_success_rate: float | None
    """Share of trainings that came to the target, or to their end where there is no target."""
    reference_success_rate: float | None
    num_winner_failed: int
    """Trainings of the winner that gave nothing to compare; the quantities leave them out."""
    num_reference_failed: int
    quantities: tuple[Quantity, ...]
    """The objective first, where it was measured on both sides."""
    conclusion: Conclusion
    decided_by: Ground
    """What the conclusion rests on: the objective, throughput, or how often the trainings of each side failed."""
    advice: Advice
    search_value: float | None
    """The winner's value in the search."""
    optimism: float | None
    """How much better ``search_value`` is than the winner's mean on fresh seeds; above 0 the search was lucky."""
    spent_seconds: float
    """Seconds spent on search and confirmation."""
    saved_seconds: float | None
    """Seconds saved in each training; None unless the winner is to be taken and is surely faster."""
    break_even_trainings: int | None
    """Number of trainings after which the search has paid for itself; None where nothing is saved."""
    confidence: float = CONFIDENCE
    others: tuple["Verdict", ...] = ()
    """Verdicts on the next best trials, where several were confirmed."""

    @property
    def is_decided(self) -> bool:
        """No more trainings are needed: the objective itself is surely better or worse."""
        return self.conclusion in {"better", "worse"}

    @property
    def may_be_more_often(self) -> bool:
        """The study is about a time to a target, and a larger share of the winner's trainings reached that target."""
        is_timed = bool(self.quantities) and self.quantities[0].name == SECONDS_TO_TARGET
        one, other = self.winner_success_rate, self.reference_success_rate
        return is_timed and one is not None and other is not None and one > other

    @property
    def num_that_tells(self) -> int | None:
        """Trainings a side after which the winner would surely reach the target more often than the reference.

        This assumes that the winner goes on reaching it at its rate so far, and the reference never. None where the
        reference has reached it, since then the times decide, and where too many trainings would be needed.
        """
        if not self.may_be_more_often or self.reference_success_rate or self.winner_success_rate is None:
            return None
        chance = 1 - self.confidence
        if self.num_wanted <= LEAST_VALUES:  # a larger number would be looked at before all trainings have ended
            chance *= (1 - LAST_CONFIDENCE) / (1 - CONFIDENCE)
        least = max(min(self.num_winner, self.num_reference), self.num_wanted - 1)
        return num_that_tells(self.winner_success_rate, above=least, probability=chance)

    def quantity(self, name: str) -> Quantity | None:
        """The quantity of that name; None where it was not compared."""
        return next((quantity for quantity in self.quantities if quantity.name == name), None)


def judge(case: Case, *, winners: Side, references: Side) -> Verdict:
    """The verdict on a winner, from its trainings and those of the reference.

    For a time to a target, a failed training counts as one that never reached it. For a metric it has no value, so a
    winner that fails more often than the reference is never called better. Where too few trainings gave a value, the
    failure rates of both sides decide.
    """
    quantities = compare(case, winners=winners, references=references)
    conclusion, decided_by = _conclude(case, quantities, winners=winners, references=references)
    advice = _ADVICE[conclusion]
    saved = _saved(case, quantities, winners=winners, references=references) if advice == "take the winner" else None
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
        num_winner_failed=num_failed(winners),
        num_reference_failed=num_failed(references),
        quantities=quantities,
        conclusion=conclusion,
        decided_by=decided_by,
        advice=advice,
        search_value=case.search_value,
        optimism=_optimism(case, winners),
        spent_seconds=case.spent_seconds,
        saved_seconds=saved,
        break_even_trainings=math.ceil(case.spent_seconds / saved) if saved else None,
        confidence=_confidence(case, winners, references),
    )


def _conclude(
    case: Case, quantities: tuple[Quantity, ...], *, winners: Side, references: Side
) -> tuple[Conclusion, Ground]:
    objective = next((quantity for quantity in quantities if quantity.name == case.objective_name), None)
    if objective is None or objective.finding == "too few":
        return _conclude_from_failures(case, winners, references)
    if objective.finding == "worse":
        return "worse", "objective"
    if _share_failed(winners) > _share_failed(references):  # failed trainings are missing in the mean
        return "no significant gain", "failures"
    if objective.finding == "better":
        return "better", "objective"
    # A second look raises the chance of an error, so it has to be surer than the first.
    confidence = 1 - _SPEED_SHARE * (1 - _confidence(case, winners, references))
    speed = compare_throughput(winners, references, confidence=confidence)
    if speed is not None and speed.finding == "better" and case.objective_name != SAMPLES_PER_SECOND:
        return "faster", "throughput"
    return "no significant gain", "objective"


def _conclude_from_failures(case: Case, winners: Side, references: Side) -> tuple[Conclusion, Ground]:
    """The conclusion where too few trainings gave a value: one side may surely fail more often than the other."""
    if winners and references:
        difference, probability = compare_shares(
            num_failed(winners), len(winners), num_failed(references), len(references)
        )
        if probability <= 1 - _confidence(case, winners, references):
            return ("worse" if difference > 0 else "better"), "failures"
    return "too few trainings", "objective"


def _share_failed(side: Side) -> float:
    return num_failed(side) / len(side)


def _confidence(case: Case, winners: Side, references: Side) -> float:
    return case.confidence(min(len(winners), len(references)))


def _optimism(case: Case, winners: Side) -> float | None:
    values = [training.value for training in winners if training.value is not None]
    if case.search_value is None or not values:
        return None
    flattered = case.search_value - statistics.fmean(values)
    if not math.isfinite(flattered):
        return None
    return flattered if case.is_more_better else -flattered


def _saved(case: Case, quantities: tuple[Quantity, ...], *, winners: Side, references: Side) -> float | None:
    """Seconds that each training with the winner saves; None unless the winner is surely faster."""
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
