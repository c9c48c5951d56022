"""Races as a study's summary shows them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from autotune.events import Scalar
from autotune.recording.races import RaceRow
from autotune.report.summaries.trials import TrialSummary
from autotune.spec.written import written
from autotune.speed.knobs.code import code_lines
from autotune.speed.racing.result import BreakEven, Gain, RaceResult, TriedBatch


@dataclass(frozen=True, kw_only=True)
class RaceSummary:
    """One race of a study; the fields are the keys of its JSON."""

    study: str | None
    """That it ran in; None for one of ``autotune speed``."""
    created_at: float | None
    """Seconds since 1970."""
    workload: Mapping[str, Scalar]
    """Learning parameters that fix what a step costs."""
    setting: Mapping[str, Scalar]
    """The winner."""
    kept: Mapping[str, Scalar]
    """What of it differs from the baseline."""
    gain: Gain | None
    """Throughput over the baseline; None where nothing is surely faster."""
    doubt: str | None
    """Which of its figures are vague, and why; None where none is."""
    samples_per_second: float
    seconds: float
    is_in_turns: bool
    """Two contestants had no room on the device side by side."""
    finding: str
    """What it found, and what makes that less than an answer."""
    is_answer: bool
    """It says something of later trainings: a winner, or that there is none where one could be seen."""
    reduced_precision: tuple[str, ...]
    """Knobs in the winner that compute with fewer digits."""
    break_evens: tuple[BreakEven, ...]
    """Of what a run pays once."""
    batches: tuple[TriedBatch, ...]
    """Larger ones that were tried, to know which fit the device."""
    unused: Mapping[str, tuple[int, ...]]
    """What of the winner is paid once and that trials of the workload trained without, with their numbers."""
    code: tuple[str, ...]
    """Lines of plain PyTorch that set the winner."""


def summarise_recorded_race(row: RaceRow, *, trials: Sequence[TrialSummary]) -> RaceSummary:
    """The race, from its row, with the study's trials."""
    result = RaceResult.model_validate_json(row.result_json)
    return RaceSummary(
        study=row.study,
        created_at=row.created_at,
        workload=row.workload,
        setting=row.setting,
        kept=result.kept,
        gain=result.gain,
        doubt=result.doubt(num_cores=row.num_cores),
        samples_per_second=row.samples_per_second,
        seconds=row.seconds,
        is_in_turns=result.is_in_turns,
        finding=result.finding,
        is_answer=result.is_answer,
        reduced_precision=result.reduced_precision,
        break_evens=result.break_evens,
        batches=result.batches,
        unused=unused_by(trials, row, result),
        code=code_of(row, result),
    )


def code_of(row: RaceRow, result: RaceResult) -> tuple[str, ...]:
    """Lines of plain PyTorch that set the winner; none where nothing is to be changed."""
    return code_lines(result.setting, device=row.device, before=result.baseline)


def unused_by(trials: Sequence[TrialSummary], row: RaceRow, result: RaceResult) -> Mapping[str, tuple[int, ...]]:
    """Numbers of trials of the race's workload without what its winner pays once, the baseline left out.

    A run that is too short to repay it goes without, though the runs that the race was for would have repaid it.
    """
    mine = [trial for trial in trials if not trial.is_baseline and _is_of(row.workload, trial.parameters)]
    unused = {
        even.knob: tuple(trial.number for trial in mine if trial.parameters.get(even.knob) != result.kept[even.knob])
        for even in result.break_evens
        if even.knob in result.kept
    }
    return {name: numbers for name, numbers in unused.items() if numbers}


@dataclass(frozen=True)
class ToldRace:
    """The race that a study's summary tells of all that it ran."""

    race: RaceSummary
    which: str
    """Whose it is, with the workload."""


def told_race(races: Sequence[RaceSummary], *, best: TrialSummary | None) -> ToldRace | None:
    """The race of the best trial's workload; where that was not raced, the one with the largest gain, or the newest.

    The newest of a workload that is an answer counts, as for trials.

    Args:
        races: Of the study, the newest last.
        best: Its best trial; None where it has none.
    """
    if not races:
        return None
    mine = [race for race in races if best is not None and _is_of(race.workload, best.parameters)]
    if mine:
        race = next((race for race in reversed(mine) if race.is_answer), mine[-1])
        return ToldRace(race, f"of the best trial's workload ({_words(race.workload)})")
    gains = [(race.gain.ratio, race) for race in races if race.gain is not None]
    if not gains:
        return ToldRace(races[-1], f"{'the last, ' if len(races) > 1 else ''}of {_words(races[-1].workload)}")
    largest = max(gains, key=lambda each: each[0])[1]
    among = f"the largest of {len(gains)} gains, " if len(gains) > 1 else ""
    return ToldRace(largest, f"{among}of {_words(largest.workload)}")


def race_taken_over(
    others: Sequence[RaceRow], *, own: Sequence[RaceSummary], best: TrialSummary | None
) -> RaceSummary | None:
    """The race of an earlier study whose winner the best trial trains with; None where no race but its own may be it.

    That of the trial's workload, else the newest of another one, which gives its winner without fewer digits.

    Args:
        others: Races that ran outside of the study, the newest first.
        own: Those of the study.
        best: Its best trial; None where it has none.
    """
    if best is None or best.is_baseline or any(_is_of(race.workload, best.parameters) for race in own):
        return None
    if any(race.kept and _is_of(race.kept, best.parameters) for race in own):
        return None
    here = [row for row in others if best.device is not None and row.device == best.device.partition(":")[0]]
    of_workload = [row for row in here if _is_of(row.workload, best.parameters)]
    for row in of_workload or here:
        result = RaceResult.model_validate_json(row.result_json)
        left_out = {even.knob for even in result.break_evens} | {*(() if of_workload else result.reduced_precision)}
        held = {name: value for name, value in result.kept.items() if name not in left_out}
        if result.is_answer and held and _is_of(held, best.parameters):
            return summarise_recorded_race(row, trials=())
    return None


def _is_of(workload: Mapping[str, Scalar], parameters: Mapping[str, Scalar]) -> bool:
    return all(name in parameters and parameters[name] == value for name, value in workload.items())


def _words(workload: Mapping[str, Scalar]) -> str:
    return ", ".join(f"{name} {written(value)}" for name, value in workload.items()) or "the task as it is"
