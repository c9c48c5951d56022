import pytest

from autotune.cli.display.race import RaceLines
from autotune.coordinator.workloads import Workload
from tests.report.raced import BESIDE


def test_line_of_a_race_is_folded_between_words_under_its_text(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "40")
    RaceLines().watch.heat_over(BESIDE)
    assert capsys.readouterr().err.splitlines() == [
        "   0:00  screen  channels_last true",
        "           1.40 [1.30, 1.50]  kept:",
        "           faster",
    ]


def test_line_of_a_race_is_whole_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    RaceLines().watch.heat_over(BESIDE)
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_beginning_of_a_long_heat_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    watch = RaceLines().watch
    watch.heat_begun("screen", {"channels_last": True})
    watch.heat_begun("confirm", {"channels_last": True, "num_workers": 2})
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "   0:00  confirming on fresh processes channels_last true, num_workers 2 ..."


def test_stop_tells_what_is_lost_and_what_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    lines = RaceLines()
    lines.stopped(name="digits", num_done=0)
    for num_heats in (1, 2):
        lines.watch.begun(Workload("digits", "cpu", 2, {"batch_size": 32}))
        for _ in range(num_heats):
            lines.watch.heat_over(BESIDE)
        lines.stopped(name="digits", num_done=num_heats - 1)
    lines.stopped(name="digits", num_done=2)
    told = [line[9:].split("; ") for line in capsys.readouterr().err.splitlines() if "stopped" in line]
    lost, over, kept = (
        "stopped: this race has no result",
        "the same command starts over",
        "in the dashboard's digits.speed",
    )
    assert told == [
        ["stopped before a race began", over],
        [lost, f"its 1 heat stays {kept}", over],
        [lost, f"its 2 heats stay {kept}", "the race before it is kept", over],
        ["stopped before a race began", "the 2 races before it are kept", over],
    ]
