import json
import math
from dataclasses import dataclass

import pytest

from autotune.cli.output import echo_json, fold, print_table, to_json
from autotune.spec.model import Objective


@dataclass(frozen=True)
class _Pair:
    name: str
    values: tuple[float, ...]


def test_json_has_null_for_what_json_lacks(capsys: pytest.CaptureFixture[str]) -> None:
    echo_json(_Pair("a", (1.5, math.nan, math.inf)))
    assert json.loads(capsys.readouterr().out) == {"name": "a", "values": [1.5, None, None]}


def test_json_has_models_by_their_fields() -> None:
    objective = Objective(metric="val_loss", direction="minimize")
    shown = {"metric": "val_loss", "direction": "minimize", "target": None}
    assert to_json({"objectives": (objective,)}) == {"objectives": [shown]}


def test_json_refuses_what_has_no_form() -> None:
    with pytest.raises(TypeError, match="set has no JSON form"):
        to_json({1})


def test_table_keeps_a_long_cell_on_one_line_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("name", "n"), [("x" * 300, "1"), ("y", "22")])
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["name" + " " * 298 + " n", "x" * 300 + "   1", "y" + " " * 301 + "22"]


def test_line_is_folded_between_words_under_its_own_indent() -> None:
    rows = fold("  verdict: keep the baseline, for the winner is no better", width=30).splitlines()
    assert rows == ["  verdict: keep the baseline,", "    for the winner is no", "    better"]


@pytest.mark.parametrize(
    "line", ["  autotune study resume digits  # go on", "  at http://127.0.0.1:8080 and nowhere else"]
)
def test_command_and_address_stay_whole_to_be_copied(line: str) -> None:
    assert fold(line, width=12) == line
