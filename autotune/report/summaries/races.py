"""Races as a study's summary shows them."""

from collections.abc import Mapping
from dataclasses import dataclass

from autotune.events import Scalar
from autotune.recording.races import RaceRow
from autotune.speed.racing.result import Gain, RaceResult


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
    )
