import os
import signal
import socket
import subprocess
import time

import psutil
import pytest

from autotune.recording.rows import StudyState
from tests.e2e.home import Home, family_of, histories_of, rows_of, runs_of, state_of, wait_until

pytestmark = pytest.mark.slow


BREAKING_OFF = """

batches = []


def break_off():
    batches.append(1)
    assert len(batches) < 6, "a rehearsal has fewer"
"""


@pytest.fixture(scope="module")
def uninterrupted(finished: Home) -> list[list[dict[str, float]]]:
    return histories_of(finished.folder, "tiny")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)])
def test_interrupted_study_goes_on_as_if_nothing_had_happened(
    home: Home, uninterrupted: list[list[dict[str, float]]], number: signal.Signals, status: int
) -> None:
    """Same trial numbers, same MLflow runs, the same losses to the last bit, no trial more."""
    hold = home.hold_trial(2)
    process = home.start("study", "start", "tiny.yaml")
    home.wait_for("trial 2 epoch 1/3")
    family = family_of(process.pid)
    process.send_signal(number)
    hold.unlink()
    assert process.wait(timeout=45) == status
    wait_until(lambda: not any(map(_is_alive, family)), timeout=45, what="the end of every process of the study")
    before = {number: run.info.run_id for number, run in runs_of(home.folder, "tiny").items()}
    assert 3 not in before
    home.run("study", "start", "tiny.yaml")
    trials = home.read("study", "trials", "tiny")
    assert [trial["outcome"] for trial in trials] == ["complete"] * 4
    assert histories_of(home.folder, "tiny") == uninterrupted
    after = {number: run.info.run_id for number, run in runs_of(home.folder, "tiny").items()}
    assert sorted(after) == [0, 1, 2, 3]
    assert before.items() <= after.items()


def test_second_ctrl_c_ends_everything_at_once(home: Home) -> None:
    process, family = start_with_a_step_that_takes_a_minute(home)
    process.send_signal(signal.SIGINT)
    home.wait_for("once more to stop at once")
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=45) == 130
    wait_until(lambda: not any(map(_is_alive, family)), timeout=45, what="the end of every process of the study")


def test_trial_that_does_not_stop_within_the_grace_is_ended_and_not_called_finished(home: Home) -> None:
    """Slurm and Kubernetes kill everything a moment after their SIGTERM; what they kill releases nothing."""
    process, family = start_with_a_step_that_takes_a_minute(home, "--grace", "2")
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=45) == 130
    wait_until(lambda: not any(map(_is_alive, family)), timeout=45, what="the end of every process of the study")
    assert runs_of(home.folder, "tiny")[0].info.status == "RUNNING"
    (row,) = rows_of(home.folder, "tiny")
    assert not row.is_over


def start_with_a_step_that_takes_a_minute(
    home: Home, *options: str
) -> tuple["subprocess.Popen[str]", list[psutil.Process]]:
    """A study whose first trial can't be asked to stop, with all its processes."""
    task = (home.folder / "tiny.py").read_text()
    slow = home.folder / "slow"
    sleep = f"time.sleep(60 if __import__('os').path.exists({str(slow)!r}) else 0.01)"
    (home.folder / "tiny.py").write_text(task.replace("time.sleep(0.01)", sleep))
    process = home.start("study", "start", "tiny.yaml", "--set", "budget.epochs=1000", *options)  # no end by itself
    home.wait_for("trial 0 trains")
    slow.touch()
    family = family_of(process.pid)
    time.sleep(0.1)
    return process, family


def test_ctrl_c_during_set_up_ends_everything_with_nothing_stored(home: Home) -> None:
    reached = home.folder / "reached"
    task = home.folder / "tiny.py"
    task.write_text(f"{task.read_text()}\nopen({str(reached)!r}, 'w').close()\ntime.sleep(60)\n")
    process = home.start("study", "start", "tiny.yaml")
    wait_until(reached.exists, timeout=45, what="the task's import")
    family = family_of(process.pid)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=45) == 130
    assert home.output.strip().splitlines()[-1] == "Aborted!"
    assert "Traceback" not in home.output
    wait_until(lambda: not any(map(_is_alive, family)), timeout=45, what="the end of every process of the study")
    assert not list(home.folder.glob("autotune*"))


def test_sigterm_while_the_model_is_logged_leaves_it_to_the_next_start(home: Home) -> None:
    reached, task = home.folder / "reached", home.folder / "tiny.py"
    text = task.read_text()
    slow = f"if 'log_model' in sys.argv[0]:\n    open({str(reached)!r}, 'w').close()\n    time.sleep(60)\n"
    task.write_text(f"import sys\n{text}\n{slow}")
    process = home.start("study", "start", "tiny.yaml", "--trials", "1", "--set", "log_model=true")
    wait_until(reached.exists, timeout=90, what="the process that logs the model")
    family = family_of(process.pid)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=45) == 130
    assert "`autotune study resume tiny` logs it" in home.output
    assert "best: trial 0" in home.output
    assert "Aborted!" not in home.output
    wait_until(lambda: not any(map(_is_alive, family)), timeout=45, what="the end of every process of the study")
    task.write_text(f"{text}\n# Logged without a wait.\n")
    home.run("study", "resume", "tiny")
    outputs = runs_of(home.folder, "tiny")[0].outputs
    assert outputs is not None
    assert len(outputs.model_outputs) == 1


def test_ctrl_c_while_mlflow_is_waited_for_leaves_why_a_study_was_given_up(home: Home) -> None:
    """The reason was lost, and Aborted! stood in its place."""
    task = home.folder / "tiny.py"
    task.write_text(task.read_text().replace("time.sleep(0.01)", "break_off()") + BREAKING_OFF)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}"
        process = home.start("study", "start", "tiny.yaml", "--tracking-uri", uri)
        home.wait_for("trial 2 failed")
        wait_until(lambda: state_of(home.folder, "tiny") is StudyState.STOPPED, timeout=45, what="the study's end")
        time.sleep(2.0)  # until it waits for MLflow, as it does for half a minute
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 1
    assert "its first 3 trials must not all fail alike" in home.output
    assert "Aborted!" not in home.output


def test_ctrl_c_between_a_studys_end_and_its_summary_leaves_the_summary(grown: Home) -> None:
    """Aborted! stood in its place."""
    done = grown.run_signalled("study", "start", "tiny.yaml", function="autotune.report.summaries.reading.read_study")
    assert "best: trial " in done.stdout
    assert done.stderr.splitlines()[-1] == "Stopped when all was done; what came of it is shown."
    assert "Aborted!" not in done.stderr


def test_killed_trial_starts_again_from_its_checkpoint(home: Home, uninterrupted: list[list[dict[str, float]]]) -> None:
    hold = home.hold_trial(1)
    process = home.start("study", "start", "tiny.yaml")
    home.wait_for("trial 1 epoch 1/3")
    pid = rows_of(home.folder, "tiny")[1].pid
    assert pid is not None, "trial 1 is running"
    os.kill(pid, signal.SIGKILL)
    hold.unlink()
    assert process.wait(timeout=45) == 0
    assert "its process was killed" in home.output
    trials = home.read("study", "trials", "tiny")
    assert [trial["restarts"] for trial in trials] == [0, 1, 0, 0]
    assert histories_of(home.folder, "tiny") == uninterrupted


def test_second_coordinator_is_told_who_holds_the_study(home: Home) -> None:
    process = home.start("study", "start", "tiny.yaml", "--trials", "1000")
    home.wait_for("trial 0 epoch 1/3")
    refused = home.run("study", "start", "tiny.yaml", status=2)
    assert f"held by pid {process.pid}" in refused.stderr
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=45) == 130


def test_interrupted_trial_ends_when_the_budget_is_used_up_meanwhile(home: Home) -> None:
    process = home.start("study", "start", "tiny.yaml", "--set", "budget.epochs=100000")
    home.wait_for("trial 0 epoch 2/100000")
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=45) == 130
    home.run("study", "start", "tiny.yaml", "--set", "budget.epochs=100000", "--seconds", "0.01")
    (row,) = rows_of(home.folder, "tiny")
    assert (row.outcome, row.reason) == ("pruned", "the study's budget of 0.01 s is used up")


def _is_alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
