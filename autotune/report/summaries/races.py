"""Races as a study's summary shows them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from autotune.events import Scalar
from autotune.recording.races import RaceRow
from autotune.report.summaries.trials import TrialSummary
from autotune.spec.written import written
from autotune.speed.knobs.code import code_lines
from autotune.speed.racing.result import BreakEven, Gain, RaceResult, TriedBatch
from autotune.speed.racing.words import doubt_words, finding_words


@dataclass(frozen=True, kw_only=True)
class RaceSummary:
    """One race of a study; the fields are the keys of its JSON."""

    study: str | None
    """Name of the study that the race ran in; None for one of ``autotune speed``."""
    created_at: float | None
    """Seconds since 1970."""
    workload: Mapping[str, Scalar]
    """Learning parameters that fix what a step costs."""
    setting: Mapping[str, Scalar]
    """The winner's speed parameters."""
    kept: Mapping[str, Scalar]
    """The winner's parameters that differ from the baseline's."""
    gain: Gain | None
    """Throughput over the baseline; None where nothing is surely faster."""
    doubt: str | None
    """Which of its figures are vague, and why; None where none is."""
    samples_per_second: float
    seconds: float
    is_in_turns: bool
    """Contestants took turns on the device, which had no room for two at once."""
    finding: str
    """What the race found, and any reason to doubt it, in words."""
    is_answer: bool
    """The race has a winner, or was long enough to say that there is none; later trainings may rely on it."""
    reduced_precision: tuple[str, ...]
    """Knobs in the winner that compute with fewer digits."""
    break_evens: tuple[BreakEven, ...]
    """For each knob with a cost that a run pays once, when that is repaid."""
    batches: tuple[TriedBatch, ...]
    """Larger batches that were tried after the race, to find those that fit the device."""
    unused: Mapping[str, tuple[int, ...]]
    """The winner's knobs with a one-time cost that some trials of the workload trained without, with those trials'
    numbers."""
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
        doubt=doubt_words(result, num_cores=row.num_cores),
        samples_per_second=row.samples_per_second,
        seconds=row.seconds,
        is_in_turns=result.is_in_turns,
        finding=finding_words(result),
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
    """Trials of the race's workload that trained without a one-time cost of its winner: their numbers, by knob.

    They were too short to repay it, unlike the runs that the race was for. The baseline is left out.
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
    """The one race of a study that its summary tells about."""

    race: RaceSummary
    which: str
    """Words that say which race it is, and of which workload."""


def told_race(races: Sequence[RaceSummary], *, best: TrialSummary | None) -> ToldRace | None:
    """The race of the best trial's workload; else the one with the largest gain, else the newest. None without races.

    Of several races of one workload the newest that is an answer counts, as for trials.

    Args:
        races: The study's races, the newest last.
        best: The study's best trial; None where it has none.
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
    """The race outside of the study whose winner the best trial trains with.

    None where there is no such race, or where a race of the study's own may have decided the trial's parameters.

    A race of the trial's workload is preferred. Else it is the newest race of another workload, from which knobs
    that compute with fewer digits are not taken over.

    Args:
        others: Races that ran outside of the study, the newest first.
        own: The study's own races.
        best: The study's best trial; None where it has none.
    """
    if best is None or best.is_baseline or any(_may_have_decided(race, best.parameters) for race in own):
        return None
    here = [row for row in others if best.device is not None and row.device == best.device.partition(":")[0]]
    of_workload = [row for row in here if _is_of(row.workload, best.parameters)]
    for row in of_workload or here:
        result = RaceResult.model_validate_json(row.result_json)
        if _is_trained_with(result, best.parameters, is_of_workload=bool(of_workload)):
            return summarise_recorded_race(row, trials=())
    return None


def _may_have_decided(race: RaceSummary, parameters: Mapping[str, Scalar]) -> bool:
    """Whether the race is of the workload of a trial with these parameters, or has a winner that it trains with."""
    return _is_of(race.workload, parameters) or (bool(race.kept) and _is_of(race.kept, parameters))


def _is_trained_with(result: RaceResult, parameters: Mapping[str, Scalar], *, is_of_workload: bool) -> bool:
    """Whether a trial with these parameters trains with whatever it would take over of the race's winner."""
    left_out = {even.knob for even in result.break_evens}
    if not is_of_workload:
        left_out.update(result.reduced_precision)
    held = {name: value for name, value in result.kept.items() if name not in left_out}
    return result.is_answer and bool(held) and _is_of(held, parameters)


def _is_of(workload: Mapping[str, Scalar], parameters: Mapping[str, Scalar]) -> bool:
    return all(name in parameters and parameters[name] == value for name, value in workload.items())


def _words(workload: Mapping[str, Scalar]) -> str:
    return ", ".join(f"{name} {written(value)}" for name, value in workload.items()) or "the task as it is"
