from dataclasses import replace

import pytest

from autotune.cli.display.plain import PlainDisplay
from tests.cli.display import story


def test_each_event_is_one_plain_line_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    with PlainDisplay() as display:
        story.tell_baseline(display)
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.splitlines() == [
        "   0:00  study mnist: maximize val_accuracy, at most 30 trials or 10:00",
        "   0:00  trial 0, the baseline, starts on cpu: optimizer adam · lr 1e-3 · batch_size 64",
        "   0:00  trial 0 trains after 0.125 s",
        "   0:05  trial 0 epoch 1/6: val_accuracy 0.9125, 8,000 samples/s, data wait 25%",
        "   0:06  trial 0 complete, val_accuracy 0.9125 (best 0.9125, trial 0)",
        "   0:06  trial 1 starts on cpu: optimizer adam · lr 1e-3 · batch_size 64",
        "   0:06  trial 1 trains after 0.125 s",
        "   0:06  trial 1 epoch 1/6: val_accuracy 0.95, 8,000 samples/s, data wait 25%",
    ]


def test_failure_shows_the_task_s_last_lines_and_no_control_character(capsys: pytest.CaptureFixture[str]) -> None:
    with PlainDisplay() as display:
        story.tell_failure(display)
    error = capsys.readouterr().err
    assert "trial 2 failed: ValueError: no [bold]such [2J" in error
    assert '      File "task.py", line 3, in model' in error
    assert "\x1b" not in error


def test_baseline_without_parameters_trains_with_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    with PlainDisplay() as display:
        display.trial_launched(replace(story.trial(0), parameters={}), story.view())
    assert capsys.readouterr().err.endswith("trial 0, the baseline, starts on cpu: all defaults\n")


def test_adopted_trial_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    with PlainDisplay() as display:
        display.trial_launched(story.trial(3, is_adopted=True), story.view())
        display.trial_started(3, story.started(epochs_done=2))
    error = capsys.readouterr().err
    assert "trial 3 goes on on cpu" in error
    assert "trial 3 trains after 0.125 s, 2 epochs from its checkpoint" in error
