"""A race in a table and a few lines: what was kept, what was not, what it gains, and the code to paste."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from autotune.coordinator.races.alone import RacedWorkload
from autotune.coordinator.races.words import price_lines, tried_words
from autotune.disk import format_bytes
from autotune.events import Scalar
from autotune.report.text.raced import surroundings_words
from autotune.report.text.wording import format_duration, format_parameters, one_line
from autotune.speed.knobs.code import code_lines
from autotune.speed.racing.result import Heat, RaceResult, Split
from autotune.speed.racing.words import cost_words, doubt_words, fresh_words, gain_words, lost_words, times_words


@dataclass(frozen=True, kw_only=True)
class SpeedSummary:
    """One race; the fields are the keys of its JSON."""

    task: str
    device: str
    num_cores: int
    workload: Mapping[str, Scalar]
    """Learning parameters that fix what a step costs."""
    result: RaceResult
    code: tuple[str, ...]
    """Lines of plain PyTorch that set the winner."""
    doubt: str | None
    """Which figures are vague, and why; None where none is."""


def summarise_race(raced: RacedWorkload) -> SpeedSummary:
    """The race as it is shown."""
    workload = raced.workload
    return SpeedSummary(
        task=workload.task,
        device=workload.device,
        num_cores=workload.num_cores,
        workload=workload.features,
        result=raced.result,
        code=code_lines(raced.setting, device=workload.device, before=raced.result.baseline),
        doubt=doubt_words(raced.result, num_cores=workload.num_cores),
    )


_CUT_SHORT = ", cut short: not everything was tried; --seconds gives it longer"
_IN_TURNS = "in turns"
_WORTH_TELLING = 0.02
"""Smallest share of the time at which starts of epochs are mentioned."""
HEAT_COLUMNS = ("stage", "tried", "throughput", "verdict", "why")


def heat_rows(heats: Sequence[Heat]) -> list[tuple[str, ...]]:
    """A row for each heat, in order."""
    return [
        (heat.stage, tried_words(heat), gain_words(heat.gain) if heat.gain else "", heat.verdict, _why(heat))
        for heat in heats
    ]


def _why(heat: Heat) -> str:
    reason = one_line(heat.reason)
    return f"{reason} ({_IN_TURNS})" if heat.is_in_turns else reason


def ending_lines(summary: SpeedSummary) -> Iterator[str]:
    """The last lines about a race: bottleneck, noise, what it found, and the code to paste."""
    result = summary.result
    yield f"bottleneck: {result.diagnoses[0].words}" if result.diagnoses else "bottleneck: not looked for"
    if result.kept and result.diagnoses[1:]:
        yield f"            then {result.diagnoses[-1].words}"
    if result.noise_floor is not None:
        yield f"noise: two contestants of one setting differ by up to {result.noise_floor:.1%} here; less is a tie"
    yield from _turns(result)
    yield from _conclusion(result)
    if summary.doubt is not None:
        yield f"      {summary.doubt}"
    yield from map(one_line, price_lines(result))
    around = surroundings_words(result.surroundings)
    yield (
        f"throughput: {result.samples_per_second:,.0f} samples/s, peak memory {format_bytes(result.peak_memory_bytes)}"
        f"{f' ({around})' if around else ''}"
    )
    if (starts := result.uncharged_starts) is not None:
        yield (
            f"an epoch's start, {format_duration(starts.winner_seconds)} (the baseline's "
            f"{format_duration(starts.baseline_seconds)}), is in no figure: the loader does not tell its batches"
        )
    split = result.split
    yield (
        f"a step: data wait {split.data_wait:.0%}, copy to the device {split.copy_to_device:.0%}, "
        f"{_work(split)}{_epoch_starts(split)}"
    )
    yield f"cost: {cost_words(result)}{_cut_short(result)}"


def _work(split: Split) -> str:
    if split.optimizer is not None:
        return f"forward and backward {split.compute:.0%}, optimizer {split.optimizer:.0%}"
    return (
        f"forward, backward and optimizer {split.compute:.0%} (not told apart: a step is one call, "
        "or does not go through trial.step)"
    )


def _epoch_starts(split: Split) -> str:
    return (
        f"; beside these, starts of epochs take {split.epoch_starts:.0%} of the time"
        if split.epoch_starts >= _WORTH_TELLING
        else ""
    )


def _conclusion(result: RaceResult) -> Iterator[str]:
    """What the race gained, and over what."""
    if result.has_found_out_nothing:
        done = "compared" if result.lost else "tried"
        yield f"Nothing was {done}: the race was over before one setting was measured{lost_words(result)}."
    elif result.gain is None:
        held = " of what the race may take up," if result.guess_refusal is not None else ""
        found = "nothing is surely faster than the baseline"
        if result.ended_by is not None:
            found = "nothing was proven before the race ended"
        elif result.is_too_loud:
            found += "; but beside that noise a good gain would not show: race again when other programs are done"
        yield f"Keep what you have:{held} {found}."
        if (heat := result.unproven) is not None and heat.gain is not None:
            yield (
                f"Not proven: {tried_words(heat)}, {fresh_words(heat.gain)}; "
                "a longer race (--seconds), or a quieter machine, may tell"
            )
    else:
        yield f"winner: {format_parameters(result.kept)}"
        yield f"gain: {gain_words(result.gain)} times the baseline's throughput, confirmed on fresh processes"
    yield from _beside_guess(result)


def _beside_guess(result: RaceResult) -> Iterator[str]:
    """How the winner compares with what an informed user would have set."""
    if result.informed is None:
        return
    if result.informed == result.baseline:
        skipped = (heat for heat in result.heats if heat.stage == "informed" and heat.verdict == "skipped")
        whose = "      " if result.gain is not None else "The baseline was "
        for heat in skipped:
            yield f"{whose}not compared with an informed guess ({format_parameters(heat.changes)}): {heat.reason}"
        return
    informed = {name: value for name, value in result.informed.items() if result.baseline.get(name) != value}
    guess = f"an informed guess ({format_parameters(informed)})"
    if result.informed_gain is not None:
        whose = "     " if result.gain is not None else "The baseline's throughput is"
        yield f"{whose} {times_words(result.informed_gain, of=f'that of {guess}', than=f'that of {guess}')}"
        if result.guess_refusal is not None:
            yield f"      the guess is faster, but {result.guess_refusal}"
    elif result.is_informed_setting:
        yield f"      the winner is {guess} itself: what an informed user would set without measuring"
    elif result.had_no_time_for_informed:
        whose = "      " if result.gain is not None else "The baseline was "
        yield f"{whose}not compared with {guess}: its time was up; --seconds gives it longer"


def _turns(result: RaceResult) -> Iterator[str]:
    """Lines for a race in which contestants took turns on the device, for lack of room for two."""
    if not result.is_in_turns:
        return
    yield "turns: no room for two of these trainings on the device: one at a time held it, started for each turn"
    if result.noise_floor_in_turns is not None:
        yield f"       two of one setting differ by up to {result.noise_floor_in_turns:.1%} so; less is a tie"


def _cut_short(result: RaceResult) -> str:
    if result.ended_by is not None:
        return f", ended before everything was tried: {result.ended_by}"
    if not result.is_cut_short:
        return ""
    more = f" (one more heat in turns: {result.seconds_for_more:.0f})" if result.seconds_for_more is not None else ""
    return f"{_CUT_SHORT}{more}"
