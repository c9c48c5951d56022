"""What a race makes of its own figures, and how it is stored."""

import pytest

from autotune.cli.output import to_json
from autotune.speed.racing.result import Gain, RaceResult
from tests.report.raced import BESIDE, result_of


def gain(low: float, high: float, *, num_quads: int = 12) -> Gain:
    return Gain(ratio=(low * high) ** 0.5, low=low, high=high, num_quads=num_quads)


@pytest.mark.parametrize(("low", "high", "is_vague"), [(21, 1008, True), (0.9, 1.9, True), (1.4, 2.7, False)])
def test_gain_that_may_as_well_be_its_double_is_marked(low: float, high: float, is_vague: bool) -> None:  # noqa: FBT001
    assert gain(low, high).is_vague is is_vague
    assert to_json(gain(low, high))["is_vague"] is is_vague  # type: ignore[call-overload,index]


UNPROVEN = BESIDE.model_copy(update={"stage": "confirm", "verdict": "rejected", "gain": gain(0.99, 1.5)})
REFUTED = UNPROVEN.model_copy(update={"gain": gain(0.9, 1.02)})


@pytest.mark.parametrize(
    ("fields", "is_answer"),
    [
        ({"noise_floor": 0.03, "heats": (UNPROVEN,)}, False),
        ({"noise_floor": 0.03, "heats": (UNPROVEN, REFUTED)}, True),
        ({"noise_floor": 0.03}, True),
        ({"noise_floor": None}, True),
        ({"noise_floor": 0.61}, False),
        ({"noise_floor": 0.03, "noise_floor_in_turns": 0.4}, False),
        ({"noise_floor": 0.03, "is_cut_short": True}, False),
        ({"noise_floor": 0.61, "is_cut_short": True, "gain": gain(1.4, 1.5)}, True),
    ],
    ids=repr,
)
def test_that_nothing_was_found_is_an_answer_where_something_could_be_seen(
    fields: dict[str, object],
    is_answer: bool,  # noqa: FBT001 - a parameter
) -> None:
    assert result_of(**{"gain": None, **fields}).is_answer is is_answer


def test_race_is_read_as_it_was_written() -> None:
    result = result_of(gain=gain(21, 1008))
    assert RaceResult.model_validate_json(result.model_dump_json()) == result
