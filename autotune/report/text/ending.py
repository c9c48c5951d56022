"""The last words of a study: what was found, what it gains over the baseline, and what to type next."""

import math
from collections.abc import Sequence

from autotune.coordinator.races.words import price_lines, unused_lines
from autotune.coordinator.reserve import MOST_SHARE
from autotune.events import Outcome
from autotune.proof.verdict import Verdict
from autotune.recording.ablated import ABLATION_SUFFIX
from autotune.recording.confirmed import CONFIRM_SUFFIX
from autotune.recording.places import Places
from autotune.recording.rows import StudyState
from autotune.report.summaries.races import RaceSummary, told_race
from autotune.report.summaries.studies import StudySummary
from autotune.report.summaries.trials import TrialSummary
from autotune.report.text.places import storage_option, tracking_option
from autotune.report.text.raced import taken_over_words
from autotune.report.text.verdicts import verdict_lines
from autotune.report.text.wording import (
    CONTENDED_NOTE,
    format_clock,
    format_duration,
    format_gain,
    format_metric,
    format_parameters,
    format_rate,
    one_line,
)

_MAX_PADDING = 44
"""The widest command that comments are lined up behind; those that name a storage are longer."""


def ending_lines(study: StudySummary, *, places: Places, verdict: Verdict | None = None) -> tuple[str, ...]:
    """All lines that ``study start`` ends with."""
    proved = verdict_lines(verdict) if verdict is not None else ()
    return (*found_lines(study), *proved, "", *next_step_lines(study, places=places, is_confirmed=verdict is not None))


def found_lines(study: StudySummary) -> tuple[str, ...]:
    """What the study spent, the best trial, and the baseline that it is compared with."""
    outcomes = ", ".join(f"{count} {outcome}" for outcome, count in study.outcomes.items())
    num_trials = sum(study.outcomes.values())
    trials = f"{num_trials} trial{'' if num_trials == 1 else 's'}" + (f" ({outcomes})" if outcomes else "")
    head = f"{study.name}: {trials} in {format_clock(study.elapsed_seconds)}"
    if study.is_exhausted:
        head += "; every combination of its grid is tried"
    if study.best is None:
        yet = " yet" if study.state == StudyState.OPEN else ""
        return head, *_race_lines(study), f"No trial is complete{yet}, so there is no best one."
    lines = [head, *_race_lines(study), *_best_lines(study, study.best)]
    if study.best.is_contended or (study.baseline is not None and study.baseline.is_contended):
        lines.append(f"  {CONTENDED_NOTE}")
    if len(study.objectives) > 1:
        numbers = ", ".join(str(trial.number) for trial in study.front)
        lines.append(f"Pareto front: trial{'' if len(study.front) == 1 else 's'} {numbers}")
    return tuple(lines)


def next_step_lines(
    study: StudySummary, *, places: Places, is_confirmed: bool, is_shown: bool = False
) -> tuple[str, ...]:
    """Exact commands, each with a comment, which a shell skips when the line is pasted.

    The command ``study show`` is left out if ``is_shown``, since its output is on the screen already.
    """
    storage, tracking = storage_option(places), tracking_option(places)
    proof = (f"autotune study confirm {study.name}{storage}{tracking}", "is it more than luck?")
    is_proof_next = not is_confirmed and study.state == StudyState.COMPLETE and is_worth_confirming(study)
    go_on, with_what = going_on(study, options=f"{storage}{tracking}")
    steps = [
        *([proof] if is_proof_next else []),
        *([] if is_shown else [(f"autotune study show {study.name}{storage}{tracking}", "all of it, with links")]),
        *(
            []
            if study.best is None
            else [(f"autotune study best {study.name}{storage}", "its parameters, or as Python")]
        ),
        (f"autotune study report {study.name}{storage}", _about_report(study)),
        (go_on, f"go on{with_what}"),
        (f"autotune dashboard{storage}", "Optuna's dashboard"),
        (f"autotune mlflow{tracking}", "MLflow's UI"),
    ]
    width = min(_MAX_PADDING, max(len(command) for command, _ in steps))
    return ("Next:", *(f"  {command:<{width}}  # {explanation}" for command, explanation in steps))


def _about_report(study: StudySummary) -> str:
    is_hopeless = study.best is None and study.state != StudyState.OPEN
    return "why no trial was complete, and what to do" if is_hopeless else "a page to show to others"


def going_on(study: StudySummary, *, options: str) -> tuple[str, str]:
    """The command that goes on with the study, and words for it where that takes a new study.

    ``options`` say where the study's records are.
    """
    if study.is_exhausted:
        command = f"autotune study start SPEC.yaml --name {study.name}-2 --warm-start {study.name}{options}"
        return command, " with more values than this grid has"
    return f"autotune study resume {study.name}{larger_budget(study)}{options}", ""


def is_worth_confirming(study: StudySummary) -> bool:
    """Whether the search found something better than its baseline, so that there is something to confirm."""
    if study.name.endswith((CONFIRM_SUFFIX, ABLATION_SUFFIX)):
        return False
    if study.gain is None:  # a baseline that never came to the target is trained again all the same
        return study.best is not None and study.baseline is not None and study.baseline.outcome == Outcome.PRUNED
    return study.gain.is_better


def baseline_words(study: StudySummary) -> str:
    """Why the best trial has no baseline beside it."""
    baseline = study.baseline
    if baseline is None or baseline.reason is None:
        return "the baseline is not complete"
    return f"the baseline is {baseline.outcome}: {one_line(baseline.reason)}"


def _race_lines(study: StudySummary) -> Sequence[str]:
    """What races of speed parameters cost, and what the one of the best trial's workload found."""
    return [*_own_race_lines(study), *_taken_race_lines(study)]


def _taken_race_lines(study: StudySummary) -> Sequence[str]:
    race = study.race_taken_over
    if race is None or study.best is None:
        return []
    return [taken_over_words(race, number=study.best.number), *_asides(race)]


def _own_race_lines(study: StudySummary) -> Sequence[str]:
    if not study.races:
        return [f"races: none came to its end, in {format_clock(study.speed_seconds)}"] if study.speed_seconds else []
    spent = f"races: {len(study.races)} in {format_clock(study.speed_seconds)}"
    told = told_race(study.races, best=study.best)
    assert told is not None, "or there are none"
    line = f"{spent}; {told.which}: {told.race.finding}"
    if told.race.gain is None:
        return [line]
    return [f"{line}, not compared with an informed guess", *_asides(told.race)]


def _asides(race: RaceSummary) -> Sequence[str]:
    """Lines on doubts about the winner's figure, and on the costs of the winner."""
    is_vague = race.gain is not None and race.gain.is_vague
    doubt = [race.doubt] if is_vague and race.doubt is not None else []
    return [f"  {one_line(line)}" for line in (*doubt, *price_lines(race), *unused_lines(race.unused))]


def _best_lines(study: StudySummary, best: TrialSummary) -> Sequence[str]:
    objective = study.objectives[0]
    metric, baseline, gain = objective.metric, study.baseline, study.gain
    line = f"best: trial {best.number}, {metric} {format_metric(best.objectives[metric])}"
    if baseline is None or gain is None:
        return [f"{line} ({baseline_words(study)})", f"  {format_parameters(best.parameters)}", _speed(best)]
    if best.number == baseline.number:
        found = "; nothing better was found" if sum(study.outcomes.values()) > 1 else ", the only trial"
        return [f"{line}: the baseline itself{found}", _speed(best)]
    against = f"baseline {format_metric(baseline.objectives[metric])}, {format_gain(gain.objective)}"
    verdict = "" if gain.is_better else "; no better than the baseline"
    lines = [f"{line} ({against}{verdict})", f"  {format_parameters(best.parameters)}", _speed(best)]
    if gain.throughput_ratio is not None and gain.epoch_time_ratio is not None:
        ratios = f"throughput {gain.throughput_ratio:.2f}x, time an epoch {gain.epoch_time_ratio:.2f}x of the baseline"
        lines[-1] += f": {ratios}"
        lines.append(f"  baseline: {_speed(baseline).strip()}")
    return lines


def _speed(trial: TrialSummary) -> str:
    rate = format_rate(trial.samples_per_second, is_contended=trial.is_contended)
    return f"  {rate} samples/s, {format_duration(trial.epoch_seconds)} an epoch"


def larger_budget(study: StudySummary) -> str:
    """Options with the larger budget that a finished study needs to go on; nothing for one that is still open."""
    if study.state != "complete":
        return ""
    budget, options = study.budget, ""
    num_trials = sum(study.outcomes.values())
    if budget.trials is not None and num_trials >= budget.trials:
        options += f" --trials {num_trials * 2}"
    spent = study.elapsed_seconds
    # A search leaves seconds for the confirmation: with trials left it was out of time before they had all passed.
    least_share = 1.0 if options else 1 - MOST_SHARE
    if budget.seconds is not None and spent >= least_share * budget.seconds:
        options += f" --seconds {2 * (budget.seconds if spent < 2 * budget.seconds else math.ceil(spent)):g}"
    return options
