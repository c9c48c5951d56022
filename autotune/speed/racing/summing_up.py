"""The result of a race, put together from all that its stages know at its end."""

from dataclasses import dataclass

from autotune.events import Warmed
from autotune.speed.measuring.bottleneck import Diagnosis
from autotune.speed.measuring.measurement import Measurement
from autotune.speed.racing.heats.shared_arena import SharedContestant
from autotune.speed.racing.heats.track import Track
from autotune.speed.racing.plan import RacePlan
from autotune.speed.racing.race_time import RaceTime
from autotune.speed.racing.result import BreakEven, EpochStarts, RaceResult, Split, Surroundings
from autotune.speed.racing.stages.ending import Proven
from autotune.speed.racing.stages.precision import shortened

_LEAST_START_SECONDS = 0.01
"""The shortest start of an epoch that is worth a word where no figure includes it."""


@dataclass(frozen=True)
class Search:
    """What a race's search has come to, beside its heats and its winner."""

    diagnoses: tuple[Diagnosis, ...]
    break_evens: tuple[BreakEven, ...]
    is_run_too_short_to_compile: bool
    ended_by: str | None
    """Why it ended before its time; None where it did not."""


def sum_up(
    track: Track, plan: RacePlan, *, time: RaceTime, search: Search, winner: SharedContestant, proven: Proven
) -> RaceResult:
    """The result of a race that ends now.

    Args:
        track: Has all heats.
        plan: What the race was asked to do.
        time: The race's.
        search: What its search has come to.
        winner: Has the setting that the race ends with.
        proven: What was measured of the winner at last.
    """
    setting, figures = dict(winner.setting), proven.figures
    return RaceResult(
        baseline=dict(plan.baseline),
        setting=setting,
        diagnoses=search.diagnoses,
        noise_floor=track.incumbency.beside.noise_floor,
        noise_floor_in_turns=track.incumbency.in_turns.noise_floor,
        seconds_for_more=time.seconds_for_more,
        heats=track.heats.all,
        gain=proven.gain,
        informed=proven.informed,
        informed_gain=proven.informed_gain,
        guess_refusal=proven.guess_refusal,
        break_evens=search.break_evens,
        is_run_too_short_to_compile=search.is_run_too_short_to_compile,
        reduced_precision=tuple(shortened(setting, baseline=plan.baseline, entries=plan.entries)),
        samples_per_second=figures.samples_per_second,
        baseline_samples_per_second=figures.samples_per_second / (proven.gain.ratio if proven.gain else 1.0),
        split=Split(
            data_wait=figures.data_wait_share,
            copy_to_device=figures.copy_share,
            compute=figures.compute_share,
            optimizer=figures.optimizer_share,
            epoch_starts=_epoch_starts(figures, winner.warmed),
        ),
        peak_memory_bytes=track.arena.most_bytes(setting),
        steps_per_epoch=winner.warmed.steps_per_epoch,
        surroundings=Surroundings.of(figures.blocks),
        samples_per_step=_samples(figures) / _steps(figures),
        uncharged_starts=_uncharged(winner.warmed, baseline=track.incumbency.baseline.warmed),
        seconds=time.spent,
        seconds_given=time.given,
        is_cut_short=time.is_cut_short or search.ended_by is not None,
        ended_by=search.ended_by,
    )


def _samples(figures: Measurement) -> int:
    return sum(block.samples for block in figures.blocks)


def _steps(figures: Measurement) -> int:
    return sum(block.steps for block in figures.blocks)


def _uncharged(winner: Warmed, *, baseline: Warmed) -> EpochStarts | None:
    """What the starts of epochs take that no figure includes; None where figures do, or where they are short."""
    starts = EpochStarts(winner_seconds=winner.epoch_start_seconds, baseline_seconds=baseline.epoch_start_seconds)
    is_short = max(starts.winner_seconds, starts.baseline_seconds) < _LEAST_START_SECONDS
    return None if winner.steps_per_epoch is not None or is_short else starts


def _epoch_starts(figures: Measurement, warmed: Warmed) -> float:
    """What the starts of epochs take, as a share of what they and their steps take; 0 where nobody knows."""
    if not warmed.steps_per_epoch:
        return 0.0
    step_seconds = sum(block.seconds for block in figures.blocks) / _steps(figures)
    start_seconds = warmed.epoch_start_seconds / warmed.steps_per_epoch
    return start_seconds / (start_seconds + step_seconds)
