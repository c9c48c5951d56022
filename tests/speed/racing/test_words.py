"""What is said of a race's figures."""

import pytest

from autotune.speed.racing.result import Gain, RaceResult, Surroundings
from autotune.speed.racing.words import doubt_words, finding_words, gain_words
from tests.report.raced import BESIDE, result_of


def gain(low: float, high: float, *, num_quads: int = 12) -> Gain:
    return Gain(ratio=(low * high) ** 0.5, low=low, high=high, num_quads=num_quads)


def result_beside(load: float, *, gain: Gain) -> RaceResult:
    """A race with one heat, measured beside this load."""
    around = Surroundings(
        allocator_retries=0, recompilations=0, load=(0.5, load), clock_mhz=None, temperature_celsius=None
    )
    heat = BESIDE.model_copy(update={"gain": gain, "surroundings": around})
    return result_of(heats=(heat,), gain=gain)


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (21, 1008, "145.49 [21.00, 1008.00] ?"),
        (0.2, 9, "1.34 [0.20, 9.00] ?"),
        (1.4, 1.5, "1.45 [1.40, 1.50]"),
        (4.5e-05, 14950.52, "too noisy to tell apart"),
    ],
)
def test_vague_gain_is_shown_with_a_question_mark_and_one_that_tells_nothing_in_words(
    low: float, high: float, words: str
) -> None:
    assert gain_words(gain(low, high)) == words


def test_gain_that_is_known_leaves_no_doubt() -> None:
    assert doubt_words(result_beside(9.0, gain=gain(1.4, 1.5)), num_cores=2) is None


def test_doubt_names_load_and_what_to_do_where_the_cores_were_others() -> None:
    doubt = doubt_words(result_beside(6.13, gain=gain(21, 1008)), num_cores=2)
    assert doubt is not None
    assert "its quads differ, beside a load of up to 6.1 on 2 cores; race again when other programs are done" in doubt


def test_doubt_explains_the_words_for_a_gain_that_tells_nothing_and_no_question_mark_that_is_not_there() -> None:
    doubt = doubt_words(result_beside(6.13, gain=gain(0.001, 1008)), num_cores=2)
    assert doubt is not None
    assert doubt.startswith("too noisy to tell apart is what may as well be far faster as far slower (its quads differ")


def test_doubt_names_few_quads_on_a_quiet_machine() -> None:
    doubt = doubt_words(result_beside(1.0, gain=gain(2.9, 69, num_quads=3)), num_cores=2)
    assert doubt is not None
    assert doubt.endswith("(decided after 3 quads, beside a load of up to 1.0 on 2 cores)")


def test_race_that_compared_nothing_says_what_its_time_went_into() -> None:
    """It was said to have tried nothing, where one setting had hung for most of its time."""
    hung = BESIDE.model_copy(
        update={"verdict": "infeasible", "changes": {"decoder": "turbo"}, "gain": None, "seconds": 12.6}
    )
    crashed = hung.model_copy(update={"changes": {"decoder": "none"}, "seconds": 0.1})
    result = result_of(heats=(crashed, hung), gain=None, setting={}, is_cut_short=True)
    assert finding_words(result) == (
        "nothing was compared: the time was too short; 13 s went into what can't be trained with, as decoder turbo"
    )
