"""A verdict in lines of text."""

import math
from collections.abc import Sequence

from autotune.disk import format_bytes
from autotune.figures import TOO_NOISY, format_figure, tells_nothing
from autotune.goals import PEAK_MEMORY_BYTES, SAMPLES_PER_SECOND
from autotune.proof.quantities import SECONDS_TO_TARGET, Quantity
from autotune.proof.verdict import Verdict
from autotune.report.text.wording import format_clock, format_duration, format_gain, format_metric, format_rate

_ENOUGH = 5
"""Suggested trainings a side: five find a gain of 10 % with noise of 3 % in 96 of 100 studies, three in 75."""


def verdict_lines(verdict: Verdict) -> tuple[str, ...]:
    """A verdict's sentence, a line for each quantity, how lucky the search was, and when it has paid for itself."""
    basis, *notes = (told for _, told in verdict_notes(verdict))
    lines = [f"verdict: {sentence(verdict)}", f"  {basis}"]
    lines += [f"  {quantity_line(quantity, verdict)}" for quantity in verdict.quantities]
    lines += [f"  {note}" for note in notes]
    for other in verdict.others:
        lines += [f"  {line}" for line in verdict_lines(other)]
    return tuple(lines)


def verdict_notes(verdict: Verdict) -> tuple[tuple[str, str], ...]:
    """Remarks on a verdict, each with its title; what the verdict rests on comes first."""
    notes = (
        ("trainings", _basis(verdict)),
        ("resolution", _coarseness(verdict)),
        ("failures", _failures(verdict)),
        ("success", _success(verdict)),
        ("luck", _optimism(verdict)),
        ("cost", _break_even(verdict)),
        ("out of date", _age(verdict)),
    )
    return tuple((title, told) for title, told in notes if told)


def sentence(verdict: Verdict) -> str:
    """What to do and why, in one line."""
    winner, reference = f"trial {verdict.winner}", name_reference(verdict)
    if verdict.decided_by == "failures":
        return _sentence_on_failures(verdict, winner=winner, reference=reference)
    match verdict.conclusion:
        case "better":
            return f"take {winner}: it is better than {reference}, by more than luck explains"
        case "faster":
            return f"take {winner}: it is as good as {reference}, and surely faster"
        case "worse":
            return f"keep {reference}: {winner} is worse"
        case "no significant gain":
            return f"keep {reference}: no significant gain of {winner}{_hint(verdict, sees='would see a smaller one')}"
        case "too few trainings":
            return f"too few trainings to tell {winner} from {reference}{_hint(verdict, sees='trains more')}"


def _sentence_on_failures(verdict: Verdict, *, winner: str, reference: str) -> str:
    counts = _counts_failed(verdict)
    if verdict.conclusion == "better":
        return f"take {winner}: {reference} surely fails more often, {counts}"
    how = "surely fails" if verdict.conclusion == "worse" else "fails"
    return f"keep {reference}: {winner} {how} more often, {counts}"


def quantity_line(quantity: Quantity, verdict: Verdict) -> str:
    """A quantity in one line, such as ``val_accuracy 0.97 against 0.95, +0.02 [+0.011, +0.029]: better``."""
    sides = f"{_value(quantity.name, quantity.winner)} against {_value(quantity.name, quantity.reference)}"
    name = _NAMES.get(quantity.name, quantity.name)
    if quantity.name == SECONDS_TO_TARGET:
        name = f"time to {verdict.target}"
    told = effect(quantity)
    return f"{name}: {sides}{', ' if told else ''}{told}: {_FINDINGS.get(quantity.finding, quantity.finding)}"


def effect(quantity: Quantity) -> str:
    """The ratio or the difference, with its interval where there are enough values for one.

    Words in place of a ratio that tells nothing; empty where a side never reaches the target.
    """
    if any(side is not None and math.isinf(side) for side in (quantity.winner, quantity.reference)):
        return ""
    show = _times if quantity.kind == "ratio" else format_gain
    if math.isinf(quantity.high) and quantity.low in {0, -math.inf}:
        return show(quantity.value)
    if quantity.kind == "ratio" and tells_nothing(low=quantity.low, high=quantity.high):
        return TOO_NOISY
    return f"{show(quantity.value)} [{show(quantity.low)}, {show(quantity.high)}]"


def name_reference(verdict: Verdict) -> str:
    """What the winner is compared with, in words: ``the baseline``, or another trial."""
    return "the baseline" if verdict.is_against_baseline else f"trial {verdict.reference}"


_FINDINGS = {"no difference": "no sure difference", "too few": "too few to be sure"}
"""Findings in words: ``no difference`` is put carefully, since a wide interval does not prove equality."""
_INTERVALS = "Welch's or the bootstrap's, whichever is wider; ranks decide where a target was missed"
_NAMES = {SAMPLES_PER_SECOND: "throughput, samples/s", PEAK_MEMORY_BYTES: "memory at most"}


def _basis(verdict: Verdict) -> str:
    trainings = "training" if verdict.num_winner == 1 else "trainings"
    counts = f"{verdict.num_winner} {trainings} of trial {verdict.winner}, {verdict.num_reference} of "
    early = ", enough to be sure" if verdict.is_decided and verdict.num_winner < verdict.num_wanted else ""
    told = f"with {100 * verdict.confidence:.3g}% intervals ({_INTERVALS})"
    return f"{counts}{name_reference(verdict)}{early}, on fresh seeds, {told}"


def _hint(verdict: Verdict, *, sees: str) -> str:
    """A hint on how many trainings may tell more, or would be sure where only the winner reached the target."""
    num_trained, telling = min(verdict.num_winner, verdict.num_reference), verdict.num_that_tells
    command = f"`autotune study confirm {verdict.study} --repeats"
    if telling is not None and telling > _ENOUGH:
        return f"; {_counts_won(verdict)} may be chance, {command} {telling}` would be sure if it goes on so"
    if num_trained < _ENOUGH:
        return f"; {command} {_ENOUGH}` {sees}"
    if verdict.may_be_more_often:
        return f"; {_counts_won(verdict)} may be chance, {command} {2 * num_trained}` would tell more"
    return ""


def _counts_won(verdict: Verdict) -> str:
    """How often each side came to its target, such as ``4 of 5 at the target against 0 of 5``."""
    sides = (
        (verdict.winner_success_rate, verdict.num_winner),
        (verdict.reference_success_rate, verdict.num_reference),
    )
    one, other = (f"{round((rate or 0.0) * count)} of {count}" for rate, count in sides)
    return f"{one} at the target against {other}"


def _value(name: str, value: float | None) -> str:
    if value is None:
        return format_metric(value)
    if name == SECONDS_TO_TARGET:
        return format_duration(value) if math.isfinite(value) else "never"
    if name == SAMPLES_PER_SECOND:
        return format_rate(value)
    return format_bytes(int(value)) if name == PEAK_MEMORY_BYTES else format_metric(value)


def _times(ratio: float | None) -> str:
    if ratio is None or math.isnan(ratio):
        return "?x"
    return "infx" if math.isinf(ratio) else f"{format_figure(ratio, digits=3)}x"


def _counts_failed(verdict: Verdict) -> str:
    """How often each side failed, such as ``2 of 5 failed against 0 of 5``."""
    one = f"{verdict.num_winner_failed} of {verdict.num_winner}"
    return f"{one} failed against {verdict.num_reference_failed} of {verdict.num_reference}"


def _failures(verdict: Verdict) -> str:
    if verdict.num_winner_failed + verdict.num_reference_failed == 0:
        return ""
    return f"trainings without a value: {_counts_failed(verdict)}; the figures are those of the others"


def _coarseness(verdict: Verdict) -> str:
    quantity = next((quantity for quantity in verdict.quantities if quantity.step is not None), None)
    if quantity is None:
        return ""
    step = format_metric(quantity.step)
    return f"{quantity.name} was seen to move in steps of {step}: trainings that look equal may differ by less than one"


def _age(verdict: Verdict) -> str:
    if verdict.is_best:
        return ""
    return f"trial {verdict.winner} is no longer the best of the search: confirm the study again"


def _success(verdict: Verdict) -> str:
    what = f"came to {verdict.target}" if verdict.target else "ended well"
    sides: Sequence[str] = [
        f"{rate:.0%}" if rate is not None else "-"
        for rate in (verdict.winner_success_rate, verdict.reference_success_rate)
    ]
    return f"{what}: {sides[0]} of the winner's trainings, {sides[1]} of the other's"


def _optimism(verdict: Verdict) -> str:
    if verdict.optimism is None or verdict.search_value is None:
        return ""
    share = "better" if verdict.optimism >= 0 else "worse"
    return (
        f"optimism of the search: its {verdict.metric} {format_metric(verdict.search_value)} was "
        f"{format_figure(abs(verdict.optimism), digits=3)} {share} than the mean on fresh seeds"
    )


def _break_even(verdict: Verdict) -> str:
    spent = f"search and confirmation took {format_clock(verdict.spent_seconds)}"
    if verdict.break_even_trainings is None:
        return f"{spent}; no time is surely saved that could repay it"
    return (
        f"{spent}; a training takes {format_duration(verdict.saved_seconds)} less, "
        f"so that {verdict.break_even_trainings:,} trainings repay it"
    )
