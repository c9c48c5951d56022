"""What holds for trial processes, however they are started."""

import os
import re
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import psutil
import pytest

from autotune.errors import TaskError
from autotune.events import EpochReport, Event, Finished, OnStandby, Outcome, Started, Stop
from autotune.trial.launcher import Exited, Launcher, Method, TrialProcess
from tests.trial.listening import (
    BEHAVIOURS,
    SPOTS,
    end_all,
    finish_of,
    hear,
    hear_out,
    hear_report,
    is_gone,
    order,
    wait_until,
    without_start,
)

METHODS = ("fork_server", pytest.param("spawn", marks=pytest.mark.slow))  # each spawned trial imports torch
CLEAN_EXIT = Exited(0, signal=None)


@pytest.fixture(scope="module", params=METHODS)
def method(request: pytest.FixtureRequest) -> Method:
    return cast("Method", request.param)


@pytest.fixture(scope="module")
def launcher(method: Method) -> Iterator[Launcher]:
    """One for all tests: importing torch takes seconds."""
    with Launcher.start(BEHAVIOURS, method=method) as launcher:
        yield launcher


@pytest.fixture(scope="module")
def spots(method: Method) -> Iterator[Launcher]:
    with Launcher.start(SPOTS, method=method) as launcher:
        yield launcher


WAITING_TASK = """
import time
from pathlib import Path

from autotune.training import Trial


print("half way", flush=True)
while not Path({hold!r}).exists():
    time.sleep(0.01)


def train(trial: Trial) -> None:
    pass
"""


def test_set_up_that_takes_long_is_told_with_what_it_said_last(
    method: Method, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that hung held up a command for ever without a word."""
    monkeypatch.setattr("autotune.trial.starter._SILENT_SECONDS", 0.2)
    path, hold = tmp_path / "waiting.py", tmp_path / "hold"
    path.write_text(WAITING_TASK.format(hold=str(hold)))
    told: list[str] = []

    def tell(line: str) -> None:
        told.append(line)
        if "half way" in line:
            hold.touch()

    Launcher.start(f"{path}:train", method=method, tell=tell).close()
    pattern = r"task .*waiting.py:train: its import and setup\(\) have taken \d+ s so far"
    assert all(re.match(pattern, line) for line in told)
    assert told[-1].endswith(" s so far, and said last: half way; Ctrl-C ends this")


def test_events_come_in_order_and_the_exit_last(launcher: Launcher, tmp_path: Path) -> None:
    process = launcher.launch(order(tmp_path, number=4, behaviour="report_thrice"))
    events = hear_out(launcher, process)
    reports = [event for event in events if isinstance(event, EpochReport)]
    assert process.number == 4
    assert [(report.epoch, report.metrics["val_accuracy"]) for report in reports] == [(1, 0.1), (2, 0.2), (3, 0.3)]
    assert finish_of(events).outcome is Outcome.COMPLETE
    assert events[-1] == CLEAN_EXIT


def test_knobs_that_the_task_declares_come_with_their_simplest_setting(launcher: Launcher, spots: Launcher) -> None:
    assert [(knob.name, knob.simplest) for knob in launcher.knobs] == [("decoder", "pillow")]
    assert spots.knobs == ()


def test_exit_comes_after_every_event_of_a_crash(launcher: Launcher, tmp_path: Path) -> None:
    events = without_start(hear_out(launcher, launcher.launch(order(tmp_path, behaviour="report_and_segfault"))))
    assert [event.epoch for event in events if isinstance(event, EpochReport)] == list(range(1, 51))
    assert events[50:] == [Exited(128 + signal.SIGSEGV, signal=signal.SIGSEGV)]


def test_segmentation_fault_leaves_a_traceback_in_the_log(launcher: Launcher, tmp_path: Path) -> None:
    hear_out(launcher, launcher.launch(order(tmp_path, behaviour="report_and_segfault")))
    log = (tmp_path / "0" / "trial.log").read_text()
    assert "Segmentation fault" in log
    assert "report_and_segfault" in log


def test_exit_status_of_a_trial_that_leaves_is_told(launcher: Launcher, tmp_path: Path) -> None:
    events = hear_out(launcher, launcher.launch(order(tmp_path, behaviour="leave_with_seven")))
    assert isinstance(events[-2], EpochReport)
    assert events[-1] == Exited(7, signal=None)


def test_error_of_the_task_is_a_failure_with_its_traceback(launcher: Launcher, tmp_path: Path) -> None:
    events = hear_out(launcher, launcher.launch(order(tmp_path, behaviour="raise_an_error")))
    finished = finish_of(events)
    assert finished.outcome is Outcome.FAILED
    assert finished.reason == "ZeroDivisionError: nothing to divide by"
    assert "raise_an_error" in str(finished.traceback)
    assert events[-1] == CLEAN_EXIT


def test_sys_exit_in_a_task_is_a_failure(launcher: Launcher, tmp_path: Path) -> None:
    events = hear_out(launcher, launcher.launch(order(tmp_path, behaviour="exit_as_a_script")))
    assert finish_of(events).outcome is Outcome.FAILED


@pytest.mark.parametrize("outcome", [Outcome.PRUNED, Outcome.INTERRUPTED])
def test_trial_obeys_a_stop(launcher: Launcher, tmp_path: Path, outcome: Outcome) -> None:
    process = launcher.launch(order(tmp_path, behaviour="train_until_stopped"))
    hear_report(launcher, process)
    launcher.send(process, stop=Stop.model_validate({"outcome": outcome, "reason": "hopeless"}))
    events = hear_out(launcher, process)
    assert finish_of(events).outcome is outcome
    assert events[-1] == CLEAN_EXIT


def test_stop_may_come_before_the_trial_trains(launcher: Launcher, tmp_path: Path) -> None:
    """Where it came right behind the launch, a spawned trial never saw it, and trained on."""
    process = launcher.launch(order(tmp_path, behaviour="train_until_stopped"))
    launcher.send(process, stop=Stop(outcome=Outcome.PRUNED, reason="hopeless"))
    assert finish_of(hear_out(launcher, process)).outcome is Outcome.PRUNED


def test_stop_for_a_trial_that_is_gone_does_nothing(launcher: Launcher, tmp_path: Path) -> None:
    process = launcher.launch(order(tmp_path, behaviour="leave_with_seven"))
    hear_out(launcher, process)
    launcher.send(process, stop=Stop(outcome=Outcome.PRUNED, reason="late"))
    launcher.kill(process)
    assert launcher.wait(0) == []


def hear_standby(launcher: Launcher, process: TrialProcess) -> OnStandby:
    """What a process that was launched ahead says once it waits, which is the first that it says."""
    heard = hear(launcher, until=lambda other, _: other == process)
    (event,) = heard[process.number]
    assert isinstance(event, OnStandby)
    return event


def test_trial_that_was_launched_ahead_waits_for_its_turn_and_has_what_its_turn_brings(
    launcher: Launcher, tmp_path: Path
) -> None:
    foreseen = order(tmp_path, behaviour="report_thrice")
    process = launcher.launch_ahead(foreseen)
    asked = hear_standby(launcher, process).asked
    assert asked is not None
    assert "behaviour" not in asked
    assert launcher.wait(0.2) == []
    assert not Path(foreseen.folder).exists()
    wanted = foreseen.model_copy(update={"parameters": {"behaviour": "train_until_stopped"}})
    launcher.begin(process, order=wanted)
    hear_report(launcher, process)
    launcher.send(process, stop=Stop(outcome=Outcome.PRUNED, reason="hopeless"))
    assert finish_of(hear_out(launcher, process)).outcome is Outcome.PRUNED
    assert (Path(wanted.folder) / "trial.log").exists()


def test_what_a_process_writes_before_its_turn_stands_in_the_trials_log(spots: Launcher, tmp_path: Path) -> None:
    wanted = order(tmp_path, task=SPOTS, fault="speak")
    process = spots.launch_ahead(wanted)
    hear_standby(spots, process)
    spots.begin(process, order=wanted)
    spots.kill(process, grace_seconds=0)
    hear_out(spots, process)
    assert "spots today" in (Path(wanted.folder) / "trial.log").read_text()


def test_turn_may_come_before_the_process_waits(launcher: Launcher, tmp_path: Path) -> None:
    wanted = order(tmp_path, behaviour="report_thrice")
    process = launcher.launch_ahead(wanted)
    launcher.begin(process, order=wanted)
    events = hear_out(launcher, process)
    assert isinstance(events[0], OnStandby)
    assert finish_of(events).outcome is Outcome.COMPLETE


def test_trial_that_starts_anew_for_its_allocator_waits_then(launcher: Launcher, tmp_path: Path) -> None:
    """It imports torch again, which takes seconds that the trial before hides."""
    wanted = order(tmp_path, behaviour="report_thrice", cuda_allocator="expandable_segments")
    process = launcher.launch_ahead(wanted)
    hear_standby(launcher, process)
    launcher.begin(process, order=wanted)
    events = hear_out(launcher, process)
    assert isinstance(events[0], Started)
    assert finish_of(events).outcome is Outcome.COMPLETE


def test_kill_ends_a_trial_that_waits_for_its_turn_with_its_workers(spots: Launcher, tmp_path: Path) -> None:
    process = spots.launch_ahead(order(tmp_path, task=SPOTS, num_workers=1))
    hear_standby(spots, process)
    workers = psutil.Process(process.pid).children()
    assert len(workers) == 1
    spots.kill(process, grace_seconds=0)
    assert hear_out(spots, process) == [Exited(128 + signal.SIGKILL, signal=signal.SIGKILL)]
    assert wait_until(lambda: all(is_gone(worker.pid) for worker in workers))
    spots.begin(process, order=order(tmp_path, task=SPOTS))
    assert spots.wait(0) == []


def test_kill_ends_a_trial(launcher: Launcher, tmp_path: Path) -> None:
    process = launcher.launch(order(tmp_path, behaviour="train_until_stopped"))
    hear_report(launcher, process)
    launcher.kill(process, grace_seconds=30)
    assert hear_out(launcher, process)[-1] == Exited(128 + signal.SIGTERM, signal=signal.SIGTERM)


def test_kill_ends_a_trial_that_ignores_sigterm(launcher: Launcher, tmp_path: Path) -> None:
    process = launcher.launch(order(tmp_path, behaviour="ignore_sigterm"))
    hear_report(launcher, process)
    launcher.kill(process, grace_seconds=0.2)
    assert hear_out(launcher, process)[-1] == Exited(128 + signal.SIGKILL, signal=signal.SIGKILL)


def test_grandchildren_are_gone_with_their_trial(launcher: Launcher, tmp_path: Path) -> None:
    process = launcher.launch(order(tmp_path, behaviour="fork_grandchildren"))
    events = hear_out(launcher, process)
    (report,) = (event for event in events if isinstance(event, EpochReport))
    assert finish_of(events).outcome is Outcome.COMPLETE
    assert is_gone(int(report.metrics["child"]))
    group = [other.pid for other in psutil.process_iter() if _group_of(other) == process.pid]
    assert [pid for pid in group if not is_gone(pid)] == []


@pytest.mark.slow
def test_chatty_trial_fills_no_disk_and_is_not_held_up(launcher: Launcher, tmp_path: Path) -> None:
    chatty = order(tmp_path, behaviour="chatter").model_copy(update={"max_log_bytes": 65536})
    events = hear_out(launcher, launcher.launch(chatty))
    assert finish_of(events).outcome is Outcome.COMPLETE
    log = (tmp_path / "0" / "trial.log").read_bytes()
    assert 30_000 < len(log) <= 65536
    assert b"the first line\nxxx" in log
    assert b"the log outgrew its limit" in log
    assert log.endswith(b"x\na line of C code\nthe last line\n")


def test_log_of_a_trial_that_goes_on_is_continued(launcher: Launcher, tmp_path: Path) -> None:
    for _ in range(2):
        hear_out(launcher, launcher.launch(order(tmp_path, behaviour="report_and_segfault")))
    assert (tmp_path / "0" / "trial.log").read_text().count("Segmentation fault") == 2


@pytest.mark.parametrize("behaviour", ["write_garbage", "write_without_end"])
def test_garbage_on_the_pipe_fails_the_trial(launcher: Launcher, tmp_path: Path, behaviour: str) -> None:
    process = launcher.launch(order(tmp_path, number=3, behaviour=behaviour))
    events = without_start(hear_out(launcher, process))
    (finished,) = (event for event in events if isinstance(event, Finished))
    assert finished.outcome is Outcome.FAILED
    assert str(finished.reason).startswith("trial 3: its pipe carries events only, got ")
    assert isinstance(events[-1], Exited)


def test_trials_run_on_the_cores_of_their_leases(launcher: Launcher, tmp_path: Path) -> None:
    cores = sorted(os.sched_getaffinity(0))[:2]
    orders = [
        order(tmp_path, number=number, behaviour="report_cores").model_copy(update={"cores": (core,)})
        for number, core in enumerate(cores)
    ]
    processes = [launcher.launch(each) for each in orders]
    reports: dict[TrialProcess, dict[str, float]] = {}
    while len(reports) < len(processes):
        for arrival in launcher.wait(1.0):
            if isinstance(arrival.event, EpochReport):
                reports[arrival.process] = arrival.event.metrics
    end_all(launcher, processes)
    told = [(reports[process]["num_cores"], reports[process]["core"]) for process in processes]
    assert told == [(1, core) for core in cores]


def test_trials_count_devices_in_the_order_of_those_who_tell_their_names(launcher: Launcher, tmp_path: Path) -> None:
    events = hear_out(launcher, launcher.launch(order(tmp_path, behaviour="report_device_order")))
    (report,) = (event for event in events if isinstance(event, EpochReport))
    assert report.metrics["is_by_bus"] == 1.0


@pytest.mark.skipif(not os.access("/proc/self/oom_score_adj", os.W_OK), reason="the system lets no process ask for it")
def test_memory_that_runs_out_ends_a_trial_before_what_started_it(launcher: Launcher, tmp_path: Path) -> None:
    events = hear_out(launcher, launcher.launch(order(tmp_path, behaviour="report_killability")))
    (report,) = (event for event in events if isinstance(event, EpochReport))
    assert report.metrics["score"] >= int(Path("/proc/self/oom_score_adj").read_text()) + 300


def test_trial_shares_no_socket_with_another(launcher: Launcher, tmp_path: Path) -> None:
    processes = [launcher.launch(order(tmp_path, number=number, behaviour="train_until_stopped")) for number in (0, 1)]
    reporting = set[int]()

    def are_both_there(process: TrialProcess, event: Event | Exited) -> bool:
        if isinstance(event, EpochReport):
            reporting.add(process.number)
        return reporting == {0, 1}

    hear(launcher, until=are_both_there)
    sockets = [_sockets(process.pid) for process in processes]
    ours = _sockets(os.getpid())
    end_all(launcher, processes)
    assert sockets[0] & sockets[1] == set()
    assert (sockets[0] | sockets[1]) & ours == set()


def test_trial_is_out_of_reach_of_ctrl_c(launcher: Launcher, tmp_path: Path) -> None:
    process = launcher.launch(order(tmp_path, behaviour="train_until_stopped"))
    hear_report(launcher, process)
    session, group = os.getsid(process.pid), os.getpgid(process.pid)
    launcher.kill(process, grace_seconds=0)
    hear_out(launcher, process)
    assert session != os.getsid(0)
    assert group == process.pid


def test_parallel_operation_works_in_a_trial(launcher: Launcher, tmp_path: Path) -> None:
    events = hear_out(launcher, launcher.launch(order(tmp_path, behaviour="add_in_parallel")))
    assert finish_of(events).outcome is Outcome.COMPLETE


def test_launches_leave_no_descriptor_and_no_zombie(launcher: Launcher, tmp_path: Path) -> None:
    this = psutil.Process()
    hear_out(launcher, launcher.launch(order(tmp_path, behaviour="report_thrice")))
    before = (this.num_fds(), [child.num_fds() for child in this.children()])
    for number in range(3):
        hear_out(launcher, launcher.launch(order(tmp_path, number=number, behaviour="report_thrice")))
    assert (this.num_fds(), [child.num_fds() for child in this.children()]) == before
    assert [each for each in this.children(recursive=True) if each.status() == psutil.STATUS_ZOMBIE] == []


def test_wait_ends_when_woken_from_another_thread(launcher: Launcher) -> None:
    waker = threading.Thread(target=launcher.wake)
    waker.start()
    assert launcher.wait(30.0) == []
    waker.join()


def test_wait_without_trials_comes_back_empty(launcher: Launcher) -> None:
    assert launcher.wait(0.01) == []


def test_torch_facts_come_from_where_trials_start(launcher: Launcher) -> None:
    assert launcher.facts.version.startswith("2.")


def test_class_task_is_set_up_once_for_all_trials(spots: Launcher, tmp_path: Path) -> None:
    for number in range(2):
        events = hear_out(spots, spots.launch(order(tmp_path, task=SPOTS, number=number)))
        assert finish_of(events).outcome is Outcome.COMPLETE, finish_of(events)


def test_rehearsal_tells_what_the_task_has(spots: Launcher, tmp_path: Path) -> None:
    rehearsal = spots.rehearse(order(tmp_path, task=SPOTS))
    assert (rehearsal.num_train_samples, rehearsal.num_validation_samples) == (64, 64)
    assert "val_accuracy" in rehearsal.metric_names
    assert spots.wait(0) == []


def test_rehearsal_tells_what_the_task_raises(spots: Launcher, tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="ValueError: no spots today"):
        spots.rehearse(order(tmp_path, task=SPOTS, fault="raise"))


def test_rehearsal_survives_a_crash_of_the_task(spots: Launcher, tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"got exit status 3, last lines:\nthe last thing it said"):
        spots.rehearse(order(tmp_path, task=SPOTS, fault="crash"))


def test_rehearsal_that_hangs_is_ended(spots: Launcher, tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="must end within 0 s, got no end"):
        spots.rehearse(order(tmp_path, task=SPOTS, fault="hang"), timeout=0.1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("raise KeyError('flour')", "flour"),
        ("import os; print('off I go', flush=True); os._exit(9)", r"got exit status 9, last lines:\noff I go"),
        ("import ctypes; ctypes.string_at(0)", "got signal SIGSEGV"),
        ("train = None", "task"),
        ("raise SystemExit(4)", "task"),
        (
            "import threading, time; threading.Thread(target=time.sleep, args=(600,)).start(); 1 / 0",
            "ZeroDivisionError",
        ),
    ],
)
def test_task_that_does_not_import_is_refused(method: Method, tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "broken.py"
    path.write_text(text + "\n")
    with pytest.raises(TaskError, match=message):
        Launcher.start(f"{path}:train", method=method)


def test_closing_ends_every_trial(method: Method, tmp_path: Path) -> None:
    with Launcher.start(BEHAVIOURS, method=method) as launcher:
        process = launcher.launch(order(tmp_path, behaviour="ignore_sigterm"))
        hear_report(launcher, process)
        launcher.close()
        assert wait_until(lambda: is_gone(process.pid))
    # Leaving the context closes a second time, which does nothing.
    launcher.wake()
    launcher.kill(process)


def _group_of(process: psutil.Process) -> int | None:
    try:
        return os.getpgid(process.pid)
    except ProcessLookupError:
        return None


def _sockets(pid: int) -> set[str]:
    """Sockets that a process has open, by their number in the kernel; a pair's ends have one each."""
    links = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            links.add(str(entry.readlink()))
        except FileNotFoundError:  # the one that listed them
            continue
    return {link for link in links if link.startswith("socket:")}
