"""Races as a study's summary shows them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from autotune.events import Scalar
from autotune.recording.races import RaceRow
from autotune.speed.knobs.code import code_lines
from autotune.speed.racing.result import BreakEven, Gain, RaceResult


@dataclass(frozen=True, kw_only=True)
class RaceSummary:
    """One race of a study; the fields are the keys of its JSON."""

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
    has_found_out_nothing: bool
    """Its time was up before one setting was measured."""
    reduced_precision: tuple[str, ...]
    """Knobs in the winner that compute with fewer digits."""
    break_evens: tuple[BreakEven, ...]
    """Of what a run pays once."""
    code: tuple[str, ...]
    """Lines of plain PyTorch that set the winner."""


def summarise_recorded_race(row: RaceRow) -> RaceSummary:
    """The race, from its row."""
    result = RaceResult.model_validate_json(row.result_json)
    return RaceSummary(
        workload=row.workload,
        setting=row.setting,
        kept=result.kept,
        gain=result.gain,
        doubt=result.doubt(num_cores=row.num_cores),
        samples_per_second=row.samples_per_second,
        seconds=row.seconds,
        is_in_turns=result.is_in_turns,
        has_found_out_nothing=result.has_found_out_nothing,
        reduced_precision=result.reduced_precision,
        break_evens=result.break_evens,
        code=code_of(row, result),
    )


def code_of(row: RaceRow, result: RaceResult) -> tuple[str, ...]:
    """Lines of plain PyTorch that set the winner; none where nothing is to be changed."""
    return code_lines(result.setting, device=row.device, before=result.baseline)


def best_race(races: Sequence[RaceSummary]) -> RaceSummary | None:
    """The one with the largest gain; None where none has one."""
    gains = [(race.gain.ratio, race) for race in races if race.gain is not None]
    return max(gains, key=lambda each: each[0])[1] if gains else None
