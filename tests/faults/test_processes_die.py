"""One fault each: a process dies, and nothing may stay behind or hang."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from autotune.errors import ForkServerError
from autotune.trial.launcher import Exited, Launcher
from tests.trial.listening import BEHAVIOURS, FOLDER, SPOTS, hear_out, hear_report, is_gone, order, wait_until

DEADLINE_SECONDS = 15.0
CHECKOUT = Path(__file__).parents[2]
RACED = f"{FOLDER / 'raced.py'}:Faulty"


@contextmanager
def coordinator(
    folder: Path, *, behaviour: str, method: str = "fork_server", task: str = BEHAVIOURS
) -> Iterator[psutil.Popen]:
    """A coordinator in a session of its own; whatever it leaves is killed at the end."""
    arguments = [method, str(folder), task, f"behaviour={behaviour}", f"note={folder / 'note'}"]
    with running("tests.trial.coordinator", *arguments) as process:
        yield process


@contextmanager
def running(module: str, *arguments: str) -> Iterator[psutil.Popen]:
    """A module of ours as a program."""
    process = psutil.Popen([sys.executable, "-m", module, *arguments], stdout=subprocess.PIPE, text=True, cwd=CHECKOUT)
    try:
        yield process
    finally:
        for each in [*_below(process), process]:
            if not is_gone(each.pid):
                each.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork_server", "spawn"])
@pytest.mark.parametrize(
    ("behaviour", "num_processes"),
    [("load_with_workers", 3), ("ignore_sigterm", 1), ("fork_grandchildren_and_wait", 3), ("chatter_without_end", 1)],
)
def test_coordinator_killed_in_training(tmp_path: Path, method: str, behaviour: str, num_processes: int) -> None:
    """Else DataLoader workers keep their memory, and a trial trains on for nobody."""
    with coordinator(tmp_path, behaviour=behaviour, method=method) as process:
        _hear(process, "EpochReport")
        assert wait_until(lambda: len(_below(process)) >= num_processes)
        below = _below(process)
        process.kill()
        assert wait_until(lambda: all(is_gone(each.pid) for each in below), seconds=DEADLINE_SECONDS), _alive(below)


@pytest.mark.slow
@pytest.mark.parametrize(("behaviour", "num_processes"), [("hold_the_gil", 2), ("leave_the_group", 3)])
def test_coordinator_killed_while_the_trial_can_not_notice(tmp_path: Path, behaviour: str, num_processes: int) -> None:
    """The trial's own thread never runs, or its child is in no group of ours: the fork server ends both."""
    with coordinator(tmp_path, behaviour=behaviour) as process:
        _hear(process, "EpochReport")
        assert wait_until(lambda: len(_below(process)) == num_processes)
        below = _below(process)
        process.kill()
        assert wait_until(lambda: all(is_gone(each.pid) for each in below), seconds=DEADLINE_SECONDS), _alive(below)


@pytest.mark.slow
def test_coordinator_killed_together_with_the_fork_server(tmp_path: Path) -> None:
    """The trial's own thread is the last that can notice."""
    with coordinator(tmp_path, behaviour="load_with_workers") as process:
        _hear(process, "EpochReport")
        below = _below(process)
        (server,) = process.children()
        server.kill()
        process.kill()
        assert wait_until(lambda: all(is_gone(each.pid) for each in below), seconds=DEADLINE_SECONDS), _alive(below)


@pytest.mark.parametrize("is_server_killed", [False, True])
def test_coordinator_killed_while_a_trial_waits_for_its_turn(tmp_path: Path, *, is_server_killed: bool) -> None:
    """Its workers hold batches, and nobody is left to call it."""
    arguments = ["fork_server", str(tmp_path), SPOTS, "num_workers=1", "turn=never"]
    with running("tests.trial.coordinator", *arguments) as process:
        _hear(process, "OnStandby")
        below = _below(process)
        assert len(below) == 3
        if is_server_killed:
            process.children()[0].kill()
        process.kill()
        assert wait_until(lambda: all(is_gone(each.pid) for each in below), seconds=DEADLINE_SECONDS), _alive(below)


@pytest.mark.slow
@pytest.mark.parametrize("is_server_killed", [False, True])
def test_coordinator_killed_while_a_contestant_is_stopped(tmp_path: Path, *, is_server_killed: bool) -> None:
    """What is stopped notices nothing: the fork server ends it, or the kernel, which hangs up on stopped orphans."""
    with running("tests.trial.race_coordinator", str(tmp_path), RACED) as process:
        _hear(process, "Stopped")
        (server,) = process.children()
        contestant = server.children(recursive=True)
        assert len(contestant) == 3
        assert wait_until(lambda: all(each.status() == psutil.STATUS_STOPPED for each in contestant))
        if is_server_killed:
            server.kill()
        process.kill()
        assert wait_until(lambda: all(is_gone(each.pid) for each in contestant), seconds=DEADLINE_SECONDS)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork_server", "spawn"])
def test_coordinator_killed_in_setup(tmp_path: Path, method: str) -> None:
    """A setup that takes minutes must not go on for nobody."""
    task = tmp_path / "slow.py"
    note = tmp_path / "note"
    task.write_text(f"import pathlib, time\npathlib.Path({str(note)!r}).touch()\ntime.sleep(600)\n")
    with coordinator(tmp_path, behaviour="none", method=method, task=f"{task}:train") as process:
        assert wait_until(note.exists)
        below = _below(process)
        assert below
        process.kill()
        assert wait_until(lambda: all(is_gone(each.pid) for each in below), seconds=DEADLINE_SECONDS), _alive(below)


def test_fork_server_killed_in_training(tmp_path: Path) -> None:
    """The trial's exit is told, then that no other trial can start; else the coordinator waits for ever."""
    with Launcher.start(BEHAVIOURS, method="fork_server") as launcher:
        process = launcher.launch(order(tmp_path, behaviour="train_until_stopped"))
        hear_report(launcher, process)
        _kill_fork_server()
        assert hear_out(launcher, process) == [Exited(128 + signal.SIGKILL, signal=signal.SIGKILL)]
        assert wait_until(lambda: is_gone(process.pid))
        with pytest.raises(ForkServerError, match="it must live as long as what it trains for, got signal SIGKILL"):
            launcher.wait(30.0)
        with pytest.raises(ForkServerError, match="type the same command again"):
            launcher.launch(order(tmp_path, behaviour="report_thrice"))


def test_fork_server_killed_between_trials(tmp_path: Path) -> None:
    """A launch says so at once, instead of waiting for an answer."""
    with Launcher.start(BEHAVIOURS, method="fork_server") as launcher:
        _kill_fork_server()
        with pytest.raises(ForkServerError, match="got signal SIGKILL"):
            launcher.launch(order(tmp_path, behaviour="report_thrice"))


def _kill_fork_server() -> None:
    # This process has other children, too: servers and browsers of other tests.
    (server,) = (child for child in psutil.Process().children() if "autotune.trial.fork_server" in child.cmdline())
    server.kill()
    assert wait_until(lambda: is_gone(server.pid))


def _hear(process: psutil.Popen, event: str) -> None:
    for line in process.stdout:
        if line.startswith(event):
            return
    raise AssertionError(f"no {event}: the coordinator has ended")


def _below(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _alive(processes: list[psutil.Process]) -> list[str]:
    return [str(each) for each in processes if not is_gone(each.pid)]
