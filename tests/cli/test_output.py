import json
import math
from dataclasses import dataclass

import click
import pytest

from autotune.cli.output import echo_error, echo_json, fold, print_columns, print_table, to_json
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


def test_last_cell_that_a_terminal_has_no_room_for_stands_below_its_row(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "40")
    print_table(("n", "parameters"), [("1", "lr 0.1 · width 32 · depth 3 · dropout 0.5 · seed 7"), ("2", "")])
    lines = click.unstyle(capsys.readouterr().out).splitlines()
    assert lines == ["n", "1", "  lr 0.1 · width 32 · depth 3 · dropout", "    0.5 · seed 7", "2"]
    print_table(("n", "parameters"), [("1", "lr 0.1")])
    assert click.unstyle(capsys.readouterr().out).splitlines() == ["n  parameters", "1  lr 0.1"]


def test_columns_that_a_terminal_has_no_room_for_stand_below_their_row_with_their_titles(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "40")
    header = ("trial", "samples_per_second", "val_accuracy", "time", "parameters")
    print_table(
        header,
        [
            ("7", "5177.3", "0.77", "0.28 s", "lr 0.1 · width 32 · depth 3 · dropout 0.5"),
            ("8", "2743.2", "0.8", "-", ""),
        ],
    )
    lines = [line.rstrip() for line in click.unstyle(capsys.readouterr().out).splitlines()]
    assert lines == [
        "trial  samples_per_second  val_accuracy",
        "    7              5177.3          0.77",
        "  time 0.28 s · lr 0.1 · width 32 ·",
        "    depth 3 · dropout 0.5",
        "    8              2743.2           0.8",
        "  time -",
    ]


def test_figures_are_not_folded_for_the_sake_of_a_long_cell(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "50")
    print_table(("tried", "gain", "why"), [("num_workers 2 beside cache memory", "13.44 [11.17, 16.16]", "faster")])
    assert [line.rstrip() for line in click.unstyle(capsys.readouterr().out).splitlines()] == [
        "tried                                 gain  why",
        "num_workers 2 beside  13.44 [11.17, 16.16]  faster",
        "cache memory",
    ]


def test_columns_side_by_side_stay_whole_and_go_on_below_where_a_terminal_has_no_room(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "31")
    table = (
        ("", "mnist.speed:0", "cells:17", "mnist.confirm:0"),
        [("epochs", "3", "12", "5"), ("lr", "0.01", "0.1", "-")],
    )
    print_columns(*table)
    assert len(capsys.readouterr().out.splitlines()) == 3, "in a pipe one row is one line"
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    print_columns(*table)
    assert [line.rstrip() for line in click.unstyle(capsys.readouterr().out).splitlines()] == [
        "        mnist.speed:0  cells:17",
        "epochs              3        12",
        "lr               0.01       0.1",
        "",
        "        mnist.confirm:0",
        "epochs                5",
        "lr                    -",
    ]


def test_command_in_a_message_stays_whole() -> None:
    line = "study mnist: it is over; `autotune study resume mnist --trials 20` goes on with it"
    assert fold(line, width=40).splitlines() == [
        "study mnist: it is over;",
        "  `autotune study resume mnist --trials 20`",
        "  goes on with it",
    ]


def test_error_is_folded_between_words_on_a_terminal_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    echo_error("nope.yaml: the file must be readable, got none")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    echo_error("nope.yaml: the file must be readable, got none")
    assert capsys.readouterr().err.splitlines() == [
        "Error: nope.yaml: the file must be readable, got none",
        "Error: nope.yaml: the file",
        "  must be readable, got none",
    ]


def test_comment_of_a_command_comes_nearer_where_a_terminal_is_narrow() -> None:
    assert fold("  autotune study show digits          # all of it", width=40) == (
        "  autotune study show digits  # all of it"
    )


def test_line_is_folded_between_words_under_its_own_indent() -> None:
    rows = fold("  verdict: keep the baseline, for the winner is no better", width=30).splitlines()
    assert rows == ["  verdict: keep the baseline,", "    for the winner is no", "    better"]


@pytest.mark.parametrize(
    "line", ["  autotune study resume digits  # go on", "  autotune dashboard --storage sqlite:///a.db"]
)
def test_command_stays_whole_to_be_copied(line: str) -> None:
    assert fold(line, width=12) == line


def test_address_stays_whole_to_be_copied() -> None:
    rows = fold("  at http://127.0.0.1:8080 and nowhere else", width=12).splitlines()
    assert rows == ["  at", "    http://127.0.0.1:8080", "    and", "    nowhere", "    else"]


def test_rows_after_the_first_hang_where_they_are_told_to() -> None:
    assert fold("   0:08  race of mnist on cpu", width=20, hang=11).splitlines() == [
        "   0:08  race of",
        "           mnist on",
        "           cpu",
    ]


def test_widest_cell_is_folded_where_the_others_have_no_room_beside_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "40")
    rows = [("torch_threads 1, cache memory", "61.58 [27.95]", "faster than what it was tried against"), ("a", "b", "")]
    print_table(("tried", "throughput", "why it was taken up or left where it was"), rows)
    lines = [line.rstrip() for line in click.unstyle(capsys.readouterr().out).splitlines()]
    assert lines == [
        "tried                   throughput",
        "torch_threads 1, cache  61.58 [27.95]",
        "memory",
        "  faster than what it was tried against",
        "a                       b",
    ]
