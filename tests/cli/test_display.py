import io
import re

import pytest
from rich.console import Console

from autotune.cli.display import LiveDisplay
from autotune.cli.panel import RunningTrial, render_panel
from tests.cli import story


def _screen(width: int, *, height: int = 24, running: int = 1) -> list[str]:
    """The last frame of a study with that many running trials, as text."""
    trials = []
    for number in range(running):
        trial = RunningTrial(story.trial(number))
        trial.start(story.started())
        trial.report(story.report(2, accuracy=0.9532), metric="val_accuracy")
        trials.append(trial)
    study = story.view(
        elapsed=133.0,
        outcomes={"complete": 5, "pruned": 6, "diverged": 1},
        num_running=running,
        baseline=0.954,
        best=(7, 0.9712),
    )
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=True, no_color=True)
    with console.capture() as capture:
        console.print(render_panel(study, trials, width=width, height=height))
    return [line.rstrip() for line in _without_styles(capture.get()).splitlines()]


def _without_styles(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_display_shows_all_figures_at_any_usual_width(width: int) -> None:
    text = " ".join(" ".join(_screen(width)).split())
    for figure in (
        "mnist 2:13 of 10:00, 7:47 left 12 of 30 trials, 1 running",
        "complete 5 pruned 6 diverged 1",
        "val_accuracy best 0.9712 (trial 7), baseline 0.954 +0.0172",
        "2/6 0.9532 8,000 25%",
    ):
        assert figure in text


@pytest.mark.parametrize("width", [40, 60, 80, 100, 200])
def test_display_stays_within_the_terminal(width: int) -> None:
    assert max(map(len, _screen(width))) <= width


@pytest.mark.parametrize("height", [10, 24])
def test_display_of_many_trials_stays_within_the_terminal(height: int) -> None:
    lines = _screen(60, height=height, running=64)
    assert len(lines) < height
    assert "more running" in lines[-1]


def test_wide_display_says_what_a_trial_trains_with() -> None:
    assert "optimizer adam" in "\n".join(_screen(120))


def test_study_without_a_limit_shows_none() -> None:
    console = Console(file=io.StringIO(), width=80)
    with console.capture() as capture:
        console.print(render_panel(story.view(elapsed=7.0, total_seconds=None), [], width=80, height=24))
    assert "mnist  0:07  0 of 30 trials, 0 running" in capture.get()
    assert "no trial has ended yet" in capture.get()


def test_live_display_keeps_what_happened_above_what_runs() -> None:
    file = io.StringIO()
    console = Console(file=file, width=80, height=24, force_terminal=True, no_color=True)
    with LiveDisplay(console) as display:
        story.tell_baseline(display)
        story.tell_failure(display)
        display.note("MLflow has not got 3 records yet")
        display.ticked(story.view(elapsed=66.0))
    text = _without_styles(file.getvalue())
    assert "trial 0 complete, val_accuracy 0.9125 (best 0.9125, trial 0)" in text
    assert "trial 2 failed: ValueError: no [bold]such [2J" in text
    assert "MLflow has not got 3 records yet" in text
    assert "\x1b[2J" not in file.getvalue()


def test_live_display_gives_the_cursor_back_after_an_error() -> None:
    file = io.StringIO()
    console = Console(file=file, width=80, height=24, force_terminal=True)
    with pytest.raises(RuntimeError, match="lost"), LiveDisplay(console):
        raise RuntimeError("lost")
    assert file.getvalue().rfind("\x1b[?25h") > file.getvalue().rfind("\x1b[?25l")
