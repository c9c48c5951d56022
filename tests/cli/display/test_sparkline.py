import io

import pytest
from rich.console import Console

from autotune.cli.display.sparkline import Sparkline, draw


def test_each_value_is_a_block_of_its_height() -> None:
    assert draw([0.0, 0.5, 1.0], width=10) == "▁▅█"


def test_of_more_values_than_there_is_room_the_last_is_drawn() -> None:
    assert draw([*([0.0] * 99), 1.0], width=4) == "▁▁▁█"


def test_equal_values_lie_low() -> None:
    assert draw([0.3, 0.3], width=10) == "▁▁"


@pytest.mark.parametrize("width", [20, 60])
def test_curve_stays_within_its_line(width: int) -> None:
    console = Console(file=io.StringIO(), width=width)
    with console.capture() as capture:
        console.print(Sparkline([float(n) for n in range(200)], before="best 0", after="199"))
    assert capture.get().count("\n") == 1
    assert len(capture.get().rstrip("\n")) == width


def test_terminal_without_blocks_gets_ascii() -> None:
    console = Console(file=io.TextIOWrapper(io.BytesIO(), encoding="ascii"), width=40)
    with console.capture() as capture:
        console.print(Sparkline([0.0, 1.0], before="a", after="b"))
    assert capture.get() == "a _% b\n"
