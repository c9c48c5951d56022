"""Puts the result of a race into words, a line each: what was found, how sure that is, and how long it took."""

from collections.abc import Mapping

from autotune.events import Scalar
from autotune.figures import TOO_NOISY
from autotune.spec.written import written
from autotune.speed.racing.result import VAGUE_SPAN, Gain, Heat, RaceResult

_MANY_QUADS = 6
"""The fewest quads whose interval needs no assumption about the distribution of noise (``measuring/statistics.py``)."""


def format_changes(changes: Mapping[str, Scalar]) -> str:
    """Knobs with their values in one line; a knob that is left to torch is shown as ``default``."""
    shown = (f"{name} {'default' if value is None else written(value)}" for name, value in changes.items())
    return ", ".join(shown) or "nothing"


def gain_words(gain: Gain) -> str:
    """The ratio with its interval, such as ``1.42 [1.38, 1.47]``; a question mark follows where that is vague.

    Where it tells nothing, words stand in its place.
    """
    if gain.tells_nothing:
        return TOO_NOISY
    return f"{gain.ratio:.2f} [{gain.low:.2f}, {gain.high:.2f}]{' ?' if gain.is_vague else ''}"


def times_words(gain: Gain, *, of: str, than: str) -> str:
    """The ratio as a part of a sentence: how often ``of`` it is, or that it can't be told apart from ``than``."""
    return f"{TOO_NOISY} from {than}" if gain.tells_nothing else f"{gain_words(gain)} times {of}"


def change_words(heat: Heat) -> str:
    """What the heat changed, such as ``num_workers 2, channels_last true``; the name alone of a knob passed over."""
    if heat.verdict == "skipped" and set(heat.changes.values()) == {None}:
        return ", ".join(heat.changes)
    return format_changes(heat.changes)


def race_words(result: RaceResult) -> str:
    """How the race ended: what it found, and how long it took."""
    return f"{finding_words(result)} ({cost_words(result)})"


def cost_words(result: RaceResult) -> str:
    """How long the race took, and by how much that was longer than it might."""
    late = f", {result.seconds_late:.0f} s more than it had" if result.seconds_late else ""
    return f"{result.seconds:.0f} s{late}"


def finding_words(result: RaceResult) -> str:
    """What the race found, with whatever speaks against taking that for an answer."""
    early = _early_words(result)
    if result.gain is not None:
        return f"{format_changes(result.kept)}: {gain_words(result.gain)} times the baseline's throughput{early}"
    if result.ended_by is None and result.has_found_out_nothing:
        more = f" of {result.seconds_for_more:.0f} s for one heat in turns" if result.seconds_for_more else ""
        done = "compared" if result.lost else "tried"
        return f"nothing was {done}: the time was too short{more}{lost_words(result)}"
    if (heat := result.unproven) is not None and heat.gain is not None:
        return f"not proven: {change_words(heat)}, {fresh_words(heat.gain)}{early}"
    if result.ended_by is not None:
        return f"nothing was proven{early}"
    nothing = "nothing is surely faster than the baseline"
    if result.is_too_loud:
        return f"{nothing}, where two processes of one setting differ by {result.loudest_noise:.0%}{early}"
    return f"{nothing}{early}"


def lost_words(result: RaceResult) -> str:
    """A clause on what settings took of the race that can't be trained with, and the longest; empty without any."""
    if not result.lost:
        return ""
    seconds = sum(heat.seconds for heat in result.lost)
    longest = max(result.lost, key=lambda heat: heat.seconds)
    return f"; {seconds:.0f} s went into what can't be trained with, as {change_words(longest)}"


def fresh_words(gain: Gain) -> str:
    """How a setting that was not proven compared with the baseline when it was to be confirmed."""
    return f"{times_words(gain, of='as fast', than='the baseline')} on fresh processes"


def doubt_words(result: RaceResult, *, num_cores: int) -> str | None:
    """Which figures of a race say too little to be relied on, and why; None where all can be relied on.

    Args:
        result: The result of the race.
        num_cores: Number of cores that each contestant had.
    """
    heats = [(heat.gain, heat.surroundings) for heat in result.heats if heat.gain is not None and heat.gain.is_vague]
    if not heats:
        return None
    vague = [gain for gain, _ in heats]
    quads = min(gain.num_quads for gain in vague)
    loads = [around.load[1] for _, around in heats if around is not None and around.load is not None]
    few = f"decided after {quads} quads" if quads < _MANY_QUADS else "its quads differ"
    around = f", beside a load of up to {max(loads):.1f} on {num_cores} cores" if loads else ""
    again = "; race again when other programs are done" if loads and max(loads) > num_cores else ""
    figure = f"? is a gain whose interval spans more than a factor of {VAGUE_SPAN:g}: rely on its direction at most"
    said = [] if all(gain.tells_nothing for gain in vague) else [f"{figure}, not on the figure"]
    if any(gain.tells_nothing for gain in vague):
        said.append(f"{TOO_NOISY} is what may as well be far faster as far slower")
    return f"{'; '.join(said)} ({few}{around}{again})"


def _early_words(result: RaceResult) -> str:
    """A clause that follows a finding and says why not everything was tried; empty where everything was."""
    if result.ended_by is not None:
        return f"; it ended before everything was tried: {result.ended_by}"
    return "; cut short: not everything was tried" if result.is_cut_short else ""
