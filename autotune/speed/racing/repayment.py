"""What a race found, for runs of another length than it was judged for: whether they repay what it costs once."""

from autotune.events import Scalar
from autotune.speed.knobs.entries import apply
from autotune.speed.racing.result import BreakEven, RaceResult
from autotune.speed.racing.run_length import RunLength
from autotune.speed.racing.stages.compiling import COMPILE, LEAST_SECONDS


def setting_for(result: RaceResult, run: RunLength, *, in_full_precision: bool = False) -> dict[str, Scalar]:
    """The winner as far as a run repays it; a knob whose cost it does not repay is as the baseline has it.

    Of several values of a knob that were adopted one after the other the last to be repaid decides: a run that
    lasts for it has repaid each of those that it was faster than.

    Args:
        result: The race of the workload, or of one like it; the run is held against what that measured.
        run: How long the training is that is to have the setting.
        in_full_precision: Keep the baseline's digits, as for a workload whose loss was not judged with fewer.
    """
    setting = result.setting_in_full_precision if in_full_precision else result.setting
    return apply(setting, {even.knob: result.baseline.get(even.knob) for even in unpaid(result, run)})


def unpaid(result: RaceResult, run: RunLength) -> tuple[BreakEven, ...]:
    """Break-evens of those of the winner's knobs that a run does not repay."""
    adopted = [even for even in result.break_evens if even.was_repaid and even.knob in result.kept]
    return tuple(even for even in adopted if not _is_repaid(even, result, run))


def may_compile_now(result: RaceResult, run: RunLength) -> bool:
    """Whether a run would repay compiling, which the race passed over for a run that would not.

    A race of an earlier version does not tell that it never tried.
    """
    if COMPILE in result.kept:
        return False
    if result.is_run_too_short_to_compile:
        return _steps(result, run) * _step_seconds(result) >= LEAST_SECONDS
    return any(even.knob == COMPILE and _is_repaid(even, result, run) for even in result.break_evens)


def repaid_now(result: RaceResult, run: RunLength) -> frozenset[str]:
    """Knobs that were faster in the race, whose start a run repays, which those that it was for did not."""
    left_out = (even for even in result.break_evens if not even.was_repaid and even.knob not in result.kept)
    return frozenset(even.knob for even in left_out if _is_repaid(even, result, run))


def _is_repaid(even: BreakEven, result: RaceResult, run: RunLength) -> bool:
    steps = run.steps(
        steps_per_epoch=result.steps_per_epoch,
        step_seconds=even.step_seconds,
        samples_per_step=result.samples_per_step,
    )
    return even.steps is not None and even.steps <= steps


def _steps(result: RaceResult, run: RunLength) -> int:
    """Steps of a run with the race's winner."""
    return run.steps(
        steps_per_epoch=result.steps_per_epoch,
        step_seconds=_step_seconds(result),
        samples_per_step=result.samples_per_step,
    )


def _step_seconds(result: RaceResult) -> float:
    return (result.samples_per_step or 0.0) / result.samples_per_second
