import pytest

from autotune.cli.display.race import show_race
from tests.report.raced import BESIDE


def test_line_of_a_race_is_folded_between_words_under_its_text(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "40")
    show_race().heat_over(BESIDE)
    assert capsys.readouterr().err.splitlines() == [
        "   0:00  screen  channels_last true",
        "           1.40 [1.30, 1.50]  kept:",
        "           faster",
    ]


def test_line_of_a_race_is_whole_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    show_race().heat_over(BESIDE)
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_beginning_of_a_long_heat_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    watch = show_race()
    watch.heat_begun("screen", {"channels_last": True})
    watch.heat_begun("confirm", {"channels_last": True, "num_workers": 2})
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "   0:00  confirming on fresh processes channels_last true, num_workers 2 ..."
