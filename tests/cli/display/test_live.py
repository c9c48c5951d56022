import io
import re
from dataclasses import replace

import pytest
from rich.console import Console

from autotune.cli.display.live import LiveDisplay
from autotune.cli.display.panel import RunningTrial, render_panel, seconds_left
from autotune.coordinator.observer import Ending, SideView
from autotune.events import Finished, Outcome
from tests.cli.display import story


def _screen(width: int, *, height: int = 24, running: int = 1, is_run: bool = True) -> list[str]:
    """The last frame of a study with that many running trials, as text."""
    trials = []
    for number in range(running):
        trial = RunningTrial(story.trial(number))
        trial.start(story.started())
        trial.report(story.report(2, accuracy=0.9532), metric="val_accuracy")
        trials.append(trial)
    usual = story.view(
        elapsed=133.0,
        outcomes={"complete": 5, "pruned": 6, "diverged": 1},
        num_running=running,
        baseline=0.954,
        best=(7, 0.9712),
    )
    study = replace(
        usual,
        course=(0.954, 0.96, 0.9712, 0.9712),
        last_pruned=Ending(9, Outcome.PRUNED, reason="hyperband: val_accuracy 0.2 after epoch 1"),
        last_failed=Ending(4, Outcome.FAILED, reason="ValueError: no\x1b[2J such"),
        is_run=is_run,
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
        "mnist 12 of 30 trials, 1 running",
        "2:13 of 10:00, ends in about 3:19, at ",
        "complete 5 pruned 6 diverged 1",
        "val_accuracy best 0.9712 (trial 7), baseline 0.954 +0.0172",
        "best so far 0.954 ▁▃██ 0.9712",
        "last pruned: trial 9, hyperband: val_accuracy 0.2 after ep",
        "last failed: trial 4, ValueError: no [2J such",
        "2/6 0.9532 8,000 25% 4.7 GiB",
    ):
        assert figure in text


def test_study_that_nobody_runs_has_no_end_in_sight_and_no_trial_that_trains() -> None:
    text = " ".join(" ".join(_screen(80, is_run=False)).split())
    assert "mnist 12 of 30 trials, nobody runs it now 2:13 of 10:00 complete 5" in text
    assert "2/6" not in text


@pytest.mark.parametrize("width", [40, 60, 80, 100, 200])
def test_display_stays_within_the_terminal(width: int) -> None:
    assert max(map(len, _screen(width))) <= width


@pytest.mark.parametrize("height", [10, 24])
def test_display_of_many_trials_stays_within_the_terminal(height: int) -> None:
    lines = _screen(60, height=height, running=64)
    assert len(lines) < height
    assert "more running" in lines[-1]


@pytest.mark.parametrize("width", [60, 120])
def test_study_of_repeated_trainings_shows_its_sides_and_no_best(width: int) -> None:
    study = replace(
        story.view(outcomes={"complete": 4, "failed": 1}, num_running=1, best=(1, 0.97)),
        name="mnist.confirm",
        sides=(SideView("the baseline", 3, 3, 0.95), SideView("trial 7", 2, 1, 0.97)),
    )
    trial = RunningTrial(replace(story.trial(5), side="trial 7"))
    console = Console(file=io.StringIO(), width=width)
    with console.capture() as capture:
        console.print(render_panel(study, [trial], width=width, height=24))
    text = " ".join(capture.get().split())
    assert "mnist.confirm 5 of 30 trainings on fresh seeds, 1 running" in text
    assert "the baseline 3 trained, val_accuracy 0.95 on average" in text
    assert "trial 7 2 trained, 1 running, 1 without a value" in text
    assert "best" not in text
    assert max(map(len, capture.get().splitlines())) <= width


def test_wide_display_says_what_a_trial_trains_with() -> None:
    assert "optimizer adam" in "\n".join(_screen(120))


def test_study_without_a_limit_shows_none() -> None:
    console = Console(file=io.StringIO(), width=80)
    with console.capture() as capture:
        console.print(render_panel(story.view(elapsed=7.0, total_seconds=None), [], width=80, height=24))
    assert "mnist  0 of 30 trials, 0 running\n0:07\n" in capture.get()
    assert "no trial has ended yet" in capture.get()


def test_study_that_races_says_so_where_no_trial_runs() -> None:
    console = Console(file=io.StringIO(), width=60)
    with console.capture() as capture:
        console.print(render_panel(replace(story.view(), race_ends_at=30.0), [], width=60, height=24))
    assert "trials, racing speed parameters\n" in capture.get()


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


@pytest.mark.parametrize(
    ("elapsed", "raced", "race_ends_at", "left"),
    [
        (10.0, 8.0, 32.0, 22.0 + 29 * 2.0),  # the first trial took 2 s, and its race goes on for 22 s
        (40.0, 38.0, 32.0, 29 * 2.0),  # longer than it may
        (40.0, 38.0, None, 29 * 2.0),  # it is over
    ],
)
def test_end_of_the_trials_counts_what_a_race_may_still_take(
    elapsed: float, raced: float, race_ends_at: float | None, left: float
) -> None:
    """What it took so far makes no trial slower."""
    study = story.view(elapsed=elapsed, outcomes={"complete": 1}, total_seconds=None, raced=raced)
    assert seconds_left(replace(study, race_ends_at=race_ends_at)) == pytest.approx(left)


def test_line_that_the_terminal_has_no_room_for_goes_on_below_its_text() -> None:
    file = io.StringIO()
    with LiveDisplay(Console(file=file, width=40, height=24, force_terminal=True, no_color=True)) as display:
        display.note("race: nothing is surely faster than the baseline (7 s)")
    text = _without_styles(file.getvalue()).replace("\r", "")
    assert "race: nothing is surely faster than the\n  baseline (7 s)\n" in text


def test_live_display_gives_the_cursor_back_after_an_error() -> None:
    file = io.StringIO()
    console = Console(file=file, width=80, height=24, force_terminal=True)
    with pytest.raises(RuntimeError, match="lost"), LiveDisplay(console):
        raise RuntimeError("lost")
    assert file.getvalue().rfind("\x1b[?25h") > file.getvalue().rfind("\x1b[?25l")


@pytest.mark.parametrize(
    ("elapsed", "num_done", "total_seconds", "left"),
    [
        (100.0, 10, 110.0, 10.0),  # by the clock
        (100.0, 10, None, 200.0),  # 20 more trials at 10 s each
        (100.0, 0, None, None),
        (120.0, 29, 110.0, 0.0),
    ],
)
def test_end_of_the_budget_is_the_nearer_of_clock_and_trials(
    elapsed: float, num_done: int, total_seconds: float | None, left: float | None
) -> None:
    study = story.view(elapsed=elapsed, outcomes={"complete": num_done}, total_seconds=total_seconds)
    assert seconds_left(study) == (left if left is None else pytest.approx(left))


def test_low_terminal_leaves_the_curve_out_before_a_running_trial() -> None:
    text = "\n".join(_screen(80, height=12))
    assert "best so far" not in text
    assert "2/6" in text


def test_colourless_display_has_no_style() -> None:
    console = Console(file=io.StringIO(), width=100, height=24, force_terminal=True, no_color=True)
    with LiveDisplay(console) as display:
        story.tell_baseline(display)
        display.ticked(story.view(elapsed=66.0))
    assert isinstance(console.file, io.StringIO)
    colours = re.findall(r"\x1b\[[0-9;]*3[0-9][0-9;]*m", console.file.getvalue())
    assert colours == []


@pytest.mark.parametrize("width", [40, 60])
def test_frame_that_a_narrower_terminal_folded_is_erased_whole(width: int) -> None:
    file = io.StringIO()
    console = Console(file=file, width=110, height=30, force_terminal=True, no_color=True)
    with LiveDisplay(console) as display:
        story.tell_baseline(display)
        display.ticked(story.view(elapsed=66.0))
        before = len(file.getvalue())
        frame = file.getvalue()[file.getvalue().rfind("\x1b[2K") :]
        lines = [line.rstrip("\r") for line in _without_styles(frame).split("\n")]
        num_rows = sum(max(1, -(-len(line) // width)) for line in lines)
        assert num_rows > len(lines), "nothing was folded"
        console.width = width
        display.note("narrower now")
        up = re.search(r"\x1b\[(\d+)A", file.getvalue()[before:])
        assert up is not None
        assert int(up[1]) == num_rows - 1


def test_time_to_a_target_is_told_when_a_trial_is_complete() -> None:
    file = io.StringIO()
    timed = replace(story.view(), metric="time_to_val_accuracy", direction="minimize")
    seen = story.report(1, accuracy=0.975)
    seen = seen.model_copy(update={"metrics": {**seen.metrics, "time_to_val_accuracy": 12.5}})
    with LiveDisplay(Console(file=file, width=80, height=24, force_terminal=True, no_color=True)) as display:
        display.study_opened(timed)
        display.trial_launched(story.trial(3), timed)
        display.trial_reported(3, seen, timed)
        display.trial_ended(3, Finished(outcome=Outcome.COMPLETE), timed)
    assert "trial 3 complete, time_to_val_accuracy 12.5\n" in _without_styles(file.getvalue()).replace("\r", "")
