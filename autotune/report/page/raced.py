"""Section about races of speed parameters: what was kept and what was not, with intervals."""

from collections.abc import Iterator

from autotune.coordinator.races.words import price_lines, tried_words, unused_lines
from autotune.disk import format_bytes
from autotune.recording.races import RaceRow
from autotune.report.page.blocks import Block, Code, Interval, Intervals, Section, Table, Words
from autotune.report.page.subject import Subject
from autotune.report.summaries.races import code_of, unused_by
from autotune.report.text.raced import NO_GUESS, PASTE, surroundings_words, taken_over_words
from autotune.report.text.wording import NOTHING, format_duration, format_parameters, format_rate, one_line
from autotune.speed.racing.result import Heat, RaceResult
from autotune.speed.racing.words import change_words, doubt_words, gain_words, race_words

_TITLE = "Speed parameters that were raced"
_FRESH = " (on fresh processes)"


def raced_section(subject: Subject) -> Section | None:
    """The section about races; None where none was run and no result was taken over."""
    races = tuple(reversed(subject.record.races))
    if not races:
        return _taken_section(subject)
    result = RaceResult.model_validate_json(races[0].result_json)
    blocks = [*_adopted(races[0], result, subject)]
    rows = tuple(_interval(heat) for heat in result.heats if heat.verdict != "skipped" or heat.gain is not None)
    if rows:
        blocks.append(Intervals(rows=rows, unit="throughput against the setting to beat"))
    blocks += _figures(result)
    skipped = [f"{change_words(heat)} ({one_line(heat.reason)})" for heat in result.heats if heat.verdict == "skipped"]
    if skipped:
        blocks.append(Words(text=f"Passed over: {'; '.join(skipped)}.", kind="note"))
    if (doubt := doubt_words(result, num_cores=races[0].num_cores)) is not None:
        blocks.append(Words(text=f"{one_line(doubt)}.", kind="note"))
    blocks.append(Words(text=f"{_noise(result)} {NO_GUESS}", kind="note"))
    if len(races) > 1:
        blocks.append(_others(races[1:]))
    blocks += _taken(subject)
    data = {"races": [{"workload": dict(race.workload), "setting": dict(race.setting)} for race in races]}
    return Section(key="speed", title=_TITLE, blocks=tuple(blocks), data=data)


def adopted_section(subject: Subject) -> Section | None:
    """The section in short, for a note: the first race's result, its costs, and the lines to paste."""
    races = subject.record.races
    if not races:
        return _taken_section(subject)
    blocks = _adopted(races[-1], RaceResult.model_validate_json(races[-1].result_json), subject)
    return Section(key="speed", title=_TITLE, blocks=tuple(blocks), data={})


def _taken_section(subject: Subject) -> Section | None:
    blocks = tuple(_taken(subject))
    return Section(key="speed", title=_TITLE, blocks=blocks, data={}) if blocks else None


def _taken(subject: Subject) -> Iterator[Block]:
    """Blocks about the race of an earlier study whose winner the best trial trains with; none where there is none."""
    race, best = subject.summary.race_taken_over, subject.summary.best
    if race is None or best is None:
        return
    words = taken_over_words(race, number=best.number)
    yield Words(text=f"{'. '.join(map(one_line, (words[:1].upper() + words[1:], *price_lines(race))))}.")
    if race.doubt is not None:
        yield Words(text=f"{one_line(race.doubt)}.", kind="note")
    yield from _pasted(race.code)


def _pasted(code: tuple[str, ...]) -> Iterator[Block]:
    if code:
        yield Words(text=f"{PASTE[:1].upper()}{PASTE[1:]}")
        yield Code(lines=code)


def _adopted(race: RaceRow, result: RaceResult, subject: Subject) -> Iterator[Block]:
    yield Words(text=_summary(race, result))
    unused = unused_lines(unused_by(subject.own_trials, race, result))
    prices = [one_line(line) for line in (*price_lines(result), *unused)]
    if prices:
        yield Words(text=f"{'. '.join(prices)}.")
    yield from _pasted(code_of(race, result))


def _summary(race: RaceRow, result: RaceResult) -> str:
    workload = one_line(format_parameters(race.workload))
    waits = f" A step is {result.diagnoses[0].words}." if result.diagnoses else ""
    return f"The first race, of {workload} on {race.device}: {one_line(race_words(result))}.{waits}"


def _noise(result: RaceResult) -> str:
    floor = result.noise_floor
    noise = f"Two processes of one setting differed by up to {floor:.1%}; less is a tie. " if floor is not None else ""
    return f"{noise}{_turns(result)}Intervals are of the median over alternating blocks; a tie changes nothing."


def _turns(result: RaceResult) -> str:
    if not result.is_in_turns:
        return ""
    floor = result.noise_floor_in_turns
    differ = f"; two of one setting differed by up to {floor:.1%} so" if floor is not None else ""
    return f"Where it says in turns, two had no room on the device, and held it one at a time{differ}. "


def _figures(result: RaceResult) -> Iterator[Table]:
    """What each setting did that was measured, with what was around; none where nothing was."""
    rows = tuple(
        (
            _label(heat),
            format_rate(heat.samples_per_second),
            NOTHING if heat.peak_memory_bytes is None else format_bytes(heat.peak_memory_bytes),
            format_duration(heat.start_seconds),
            surroundings_words(heat.surroundings) or NOTHING,
        )
        for heat in result.heats
        if heat.samples_per_second is not None
    )
    if rows:
        header = ("tried", "samples/s", "peak memory", "start", "what was around")
        yield Table(header=header, rows=rows, is_long=True)


def _label(heat: Heat) -> str:
    stages = {"screen": "", "stack": " (stacked)", "confirm": _FRESH, "informed": _FRESH}
    stage = stages.get(heat.stage, f" ({heat.stage})")
    return f"{tried_words(heat)}{stage}{', in turns' if heat.is_in_turns else ''}"


def _interval(heat: Heat) -> Interval:
    gain = None if heat.gain is None or heat.gain.tells_nothing else heat.gain
    return Interval(
        label=_label(heat),
        text=gain_words(heat.gain) if heat.gain else "",
        ratio=gain.ratio if gain else None,
        low=gain.low if gain else None,
        high=gain.high if gain else None,
        verdict=heat.verdict,
        reason=one_line(heat.reason),
        is_kept=heat.verdict == "kept",
    )


def _others(races: tuple[RaceRow, ...]) -> Table:
    rows = []
    for race in races:
        result = RaceResult.model_validate_json(race.result_json)
        gain = gain_words(result.gain) if result.gain else NOTHING
        kept = format_parameters(result.kept) or "the baseline's"
        kept += f" (fewer digits: {', '.join(result.reduced_precision)})" if result.reduced_precision else ""
        rows.append((one_line(format_parameters(race.workload)), kept, gain, format_duration(race.seconds)))
    return Table(header=("later workload", "kept", "gain", "cost"), rows=tuple(rows), is_long=True)
