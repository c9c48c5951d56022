import os
import signal
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil
import pytest

from autotune.errors import ForkServerError, StorageGoneError, TaskError
from autotune.events import EpochReport, Feed, Outcome, Scalar
from autotune.outages import persist, waiting_out
from autotune.secrecy import REDACTED
from autotune.speed.measuring.arena import ContestantLostError, Loss
from autotune.trial.arena import Limits, ProcessArena
from autotune.trial.launcher import Launcher
from autotune.trial.oom_killer import OomWatch
from tests.trial.listening import FOLDER, finish_of, hear_out, is_gone, order, wait_until

FAULTY = f"{FOLDER / 'raced.py'}:Faulty"
BUSY = f"{FOLDER / 'raced.py'}:BusyLoading"
OWN_LOOP = f"{FOLDER / 'raced.py'}:own_loop"


@pytest.fixture(scope="module")
def launcher() -> Iterator[Launcher]:
    with Launcher.start(FAULTY, method="fork_server", secrets={"api_key": "open-sesame-4711"}) as launcher:
        yield launcher


@pytest.fixture
def arena(launcher: Launcher, tmp_path: Path) -> Iterator[ProcessArena]:
    with open_arena(launcher, tmp_path) as arena:
        yield arena


def open_arena(launcher: Launcher, folder: Path) -> ProcessArena:
    return ProcessArena(launcher, order(folder, task=FAULTY, batch_size=8), folder=folder)


def group_of(pid: int) -> list[psutil.Process]:
    return [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]


def pid_of_contestant() -> int:
    """Of the one that lives."""
    servers = [child for child in psutil.Process().children() if "autotune.trial.fork_server" in child.cmdline()]
    (pid,) = (child.pid for server in servers for child in server.children() if not is_gone(child.pid))
    return pid


def test_contestant_trains_blocks_with_the_learning_parameters_and_its_setting(arena: ProcessArena) -> None:
    contestant = arena.enter({"num_workers": 1, "prefetch_factor": 3})
    assert contestant.setting == {"num_workers": 1, "prefetch_factor": 3}
    assert contestant.warmed.in_force["prefetch_factor"] == 3
    assert contestant.warmed.steps_per_epoch == 5
    block = contestant.run_block(seconds=0.0, min_steps=7)
    assert (block.steps, block.samples, len(block.losses)) == (7, 56, 7)
    assert contestant.run_block(seconds=0.02, min_steps=1).seconds >= 0.02


def test_setting_is_completed_to_the_parameters_of_a_contestant(launcher: Launcher, tmp_path: Path) -> None:
    def complete(setting: Mapping[str, Scalar]) -> Mapping[str, Scalar]:
        return {"batch_size": 8, **setting, "prefetch_factor": 5}

    with ProcessArena(launcher, order(tmp_path, task=FAULTY), folder=tmp_path, complete=complete) as arena:
        contestant = arena.enter({"num_workers": 1})
    assert contestant.setting == {"num_workers": 1}
    assert contestant.warmed.in_force["prefetch_factor"] == 5


@pytest.mark.parametrize(("feed", "samples"), [("cached", 24), ("half", 12)])
def test_batch_that_stays_on_the_device_is_not_waited_for(arena: ProcessArena, feed: Feed, samples: int) -> None:
    block = arena.enter({}).run_block(seconds=0.0, min_steps=3, feed=feed)
    assert (block.feed, block.samples, block.data_wait_seconds) == (feed, samples, 0.0)
    assert block.compute_seconds > 0
    assert block.optimizer_seconds is not None
    assert block.optimizer_seconds > 0


def test_two_contestants_live_side_by_side(arena: ProcessArena) -> None:
    first, second = arena.enter({}), arena.enter({"num_workers": 1})
    blocks = [each.run_block(seconds=0.0, min_steps=3) for each in (first, second, second, first)]
    assert [block.steps for block in blocks] == [3, 3, 3, 3]
    assert blocks[3].first_step > blocks[0].first_step


CUDNN = "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"


@pytest.mark.parametrize(
    ("fault", "kind", "reason"),
    [
        ("out of the host's memory", "out of memory", "MemoryError"),
        ("out of a library's memory", "out of memory", f"RuntimeError: {CUDNN}"),
        ("out of shared memory", "out of memory", "RuntimeError: insufficient shared memory (shm)"),
        ("no memory format", "unsupported", "RuntimeError: No available kernel. For this memory format. Aborting"),
        ("out of the device's memory", "out of memory", "OutOfMemoryError: CUDA out of memory. Tried to allocate"),
        ("unsupported", "unsupported", "InfeasibleError: no such kernel here"),
        ("error", "crashed", "ValueError: no such layer"),
        ("leave", "crashed", "its process ended with exit status 3"),
        ("segfault", "crashed", "its process ended with signal SIGSEGV"),
    ],
)
def test_contestant_that_meets_a_fault_is_lost_and_the_next_one_enters(
    arena: ProcessArena, fault: str, kind: Loss, reason: str
) -> None:
    with pytest.raises(ContestantLostError) as lost:
        arena.enter({"fault": fault, "fault_step": 0})
    assert (lost.value.kind, str(lost.value)) == (kind, reason)
    assert (lost.value.traceback or "").endswith("no such layer") == (fault == "error")
    assert arena.enter({}).run_block(seconds=0.0, min_steps=1).steps == 1


KILLED = {
    "killed": "its process ended with signal SIGKILL",
    "worker killed": "a DataLoader worker was killed (signal 9)",
}


@pytest.mark.parametrize(
    ("fault", "shortage"), [("out of a library's memory", "device"), ("out of shared memory", None)]
)
def test_only_what_teaches_of_a_trials_size_teaches_of_a_workloads(
    arena: ProcessArena, fault: str, shortage: str | None
) -> None:
    """A baseline whose workers found no shared memory in its race was launched no more, and as a trial it was."""
    with pytest.raises(ContestantLostError) as lost:
        arena.enter({"fault": fault, "fault_step": 0})
    assert (lost.value.kind, lost.value.shortage) == ("out of memory", shortage)


@pytest.mark.parametrize("fault", KILLED)
def test_contestant_that_is_killed_ran_out_of_memory_where_the_kernel_counted_it_alone(
    launcher: Launcher, tmp_path: Path, fault: str
) -> None:
    """Beside another one it may be tried alone then, where a crash would end it."""
    counter = tmp_path / "memory.events"
    counter.write_text("oom_kill 0\n")
    faulty = order(tmp_path, task=FAULTY, batch_size=8, fault=fault, fault_step=0, num_workers=1)
    lost = []
    with ProcessArena(launcher, faulty, folder=tmp_path, oom_watch=OomWatch([counter])) as arena:
        for count in (0, 1):
            counter.write_text(f"oom_kill {count}\n")
            with pytest.raises(ContestantLostError) as error:
                arena.enter({})
            lost.append((error.value.kind, str(error.value)))
    assert lost == [
        ("crashed", f"{KILLED[fault]}, and not by the kernel for want of memory"),
        ("out of memory", f"{KILLED[fault]}: the kernel killed it, as the host's memory ran out"),
    ]


def test_kill_is_left_open_where_the_system_counts_none(launcher: Launcher, tmp_path: Path) -> None:
    faulty = order(tmp_path, task=FAULTY, batch_size=8, fault="killed", fault_step=0)
    with (
        ProcessArena(launcher, faulty, folder=tmp_path, oom_watch=OomWatch([])) as arena,
        pytest.raises(ContestantLostError, match="SIGKILL, which the kernel sends when memory runs out") as lost,
    ):
        arena.enter({})
    assert lost.value.kind == "crashed"


def test_contestant_may_be_lost_in_a_block(arena: ProcessArena) -> None:
    contestant = arena.enter({"fault": "segfault", "fault_step": 60})
    with pytest.raises(ContestantLostError, match="SIGSEGV") as lost:
        contestant.run_block(seconds=0.0, min_steps=60)
    assert lost.value.kind == "crashed"
    assert contestant.is_retired
    contestant.retire()


def test_contestant_that_ends_while_another_one_trains_is_lost_at_its_next_block(arena: ProcessArena) -> None:
    """Its socket was closed by then, which ended the race with a traceback."""
    waiting = arena.enter({})
    os.kill(pid_of_contestant(), signal.SIGKILL)
    training = arena.enter({})
    training.run_block(seconds=0.5, min_steps=1)
    with pytest.raises(ContestantLostError, match="its process ended with signal SIGKILL") as lost:
        waiting.run_block(seconds=0.0, min_steps=1)
    assert lost.value.kind == "crashed"
    assert waiting.is_retired
    assert training.run_block(seconds=0.0, min_steps=1).steps == 1


def test_contestant_does_not_tell_a_secret_with_its_last_word(launcher: Launcher, tmp_path: Path) -> None:
    keyed = order(tmp_path, task=FAULTY, batch_size=8, api_key=REDACTED)
    with ProcessArena(launcher, keyed, folder=tmp_path) as arena, pytest.raises(ContestantLostError) as lost:
        arena.enter({"fault": "tell", "fault_step": 2})
    assert str(lost.value) == "ValueError: no access with <redacted>"


def test_rehearsal_does_not_tell_a_secret_with_its_last_word(launcher: Launcher, tmp_path: Path) -> None:
    keyed = order(tmp_path, task=FAULTY, fault="tell", fault_step=0, api_key=REDACTED)
    with pytest.raises(TaskError, match="ValueError: no access with <redacted>"):
        launcher.rehearse(keyed)


def test_contestant_that_hangs_in_its_warm_up_is_ended(launcher: Launcher, tmp_path: Path) -> None:
    with ProcessArena(
        launcher, order(tmp_path, task=FAULTY), folder=tmp_path, limits=Limits(warm_seconds=0.3)
    ) as arena:
        with pytest.raises(ContestantLostError, match="must be ready for its first block within 0 s") as lost:
            arena.enter({"fault": "hang", "fault_step": 0})
        assert lost.value.kind == "hung"
        assert not [child for child in psutil.Process().children(recursive=True) if _is_contestant(child)]


def test_contestant_that_hangs_in_a_block_is_ended(launcher: Launcher, tmp_path: Path) -> None:
    with ProcessArena(
        launcher, order(tmp_path, task=FAULTY), folder=tmp_path, limits=Limits(block_seconds=0.3)
    ) as arena:
        contestant = arena.enter({"fault": "hang", "fault_step": 60})
        pid = pid_of_contestant()
        with pytest.raises(ContestantLostError, match="must train a block within 0 s") as lost:
            contestant.run_block(seconds=0.0, min_steps=60)
        assert lost.value.kind == "hung"
        assert is_gone(pid)


def test_contestant_and_its_workers_take_no_core_between_blocks(tmp_path: Path) -> None:
    with Launcher.start(BUSY, method="fork_server") as launcher, open_arena(launcher, tmp_path) as arena:
        contestant = arena.enter({"num_workers": 2, "prefetch_factor": 8})
        blocks = (contestant.run_block(seconds=0.1, min_steps=2) for _ in range(5))
        assert any(block.data_wait_seconds > block.compute_seconds for block in blocks), "its workers have work left"
        group = group_of(pid_of_contestant())
        assert len(group) == 3
        assert wait_until(lambda: all(each.status() == psutil.STATUS_STOPPED for each in group))
        before = [each.cpu_times()[:2] for each in group]
        assert not wait_until(lambda: [each.cpu_times()[:2] for each in group] != before, seconds=0.3)
        assert contestant.run_block(seconds=0.0, min_steps=2).steps == 2


def test_retired_contestant_is_gone_with_its_workers(arena: ProcessArena) -> None:
    contestant = arena.enter({"num_workers": 2})
    group = group_of(pid_of_contestant())
    contestant.retire()
    contestant.retire()
    assert [each.pid for each in group if not is_gone(each.pid)] == []


def test_contestant_that_answers_while_the_database_is_gone_has_not_hung(launcher: Launcher, tmp_path: Path) -> None:
    """An outage that was longer than its limit had ended by the time that anybody listened to it."""
    gone_until: list[float] = []

    def write() -> None:
        if not gone_until:
            gone_until.append(time.monotonic() + 2.0)
        if time.monotonic() < gone_until[0]:
            raise StorageGoneError("postgresql://: its server answers, got none", cause="none")

    arena = ProcessArena(
        launcher,
        order(tmp_path, task=FAULTY, batch_size=8),
        folder=tmp_path,
        limits=Limits(block_seconds=1.0),
        on_wait=lambda: persist(write) if is_training else None,
    )
    is_training = False
    with arena, waiting_out(lambda _: None):
        contestant = arena.enter({})
        is_training = True
        assert contestant.run_block(seconds=0.25, min_steps=1).steps > 0


def test_what_on_wait_raises_ends_the_race(launcher: Launcher, tmp_path: Path) -> None:
    def give_up() -> None:
        raise ZeroDivisionError("lease lost")

    arena = ProcessArena(launcher, order(tmp_path, task=FAULTY), folder=tmp_path, on_wait=give_up)
    with pytest.raises(ZeroDivisionError, match="lease lost"):
        arena.enter({"fault": "hang", "fault_step": 0})
    assert not [child for child in psutil.Process().children(recursive=True) if _is_contestant(child)]


def test_trial_that_reports_during_a_race_is_heard_after_it(launcher: Launcher, tmp_path: Path) -> None:
    trial = launcher.launch(order(tmp_path, task=FAULTY, number=5))
    with open_arena(launcher, tmp_path) as arena:
        contestant = arena.enter({})
        assert wait_until(lambda: is_gone(trial.pid))
        contestant.run_block(seconds=0.0, min_steps=3)
    events = hear_out(launcher, trial)
    assert [event.epoch for event in events if isinstance(event, EpochReport)] == [1, 2, 3]
    assert finish_of(events).outcome is Outcome.COMPLETE
    assert launcher.wait(0) == []


def test_contestants_have_folders_of_their_own(arena: ProcessArena, tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(ContestantLostError, match="SIGSEGV"):
            arena.enter({"fault": "segfault", "fault_step": 0})
    logs = sorted(tmp_path.glob("*/*"))
    assert [str(log.relative_to(tmp_path)) for log in logs] == [
        "contestant1/contestant.log",
        "contestant2/contestant.log",
    ]
    assert all("Segmentation fault" in log.read_text() for log in logs)


def test_loop_of_ones_own_is_raced_through_watch(tmp_path: Path) -> None:
    with Launcher.start(OWN_LOOP, method="fork_server") as launcher, open_arena(launcher, tmp_path) as arena:
        contestant = arena.enter({"num_workers": 1})
        assert contestant.warmed.steps_per_epoch == 5
        block = contestant.run_block(seconds=0.0, min_steps=12)
    assert (block.steps, block.samples, block.losses) == (12, 96, ())
    assert block.compute_seconds > 0


@pytest.mark.parametrize("steps_per_epoch", [1, 200], ids=["in its warm-up", "in a block"])
def test_loop_that_breaks_off_its_passes_has_epochs_enough_for_a_race(tmp_path: Path, steps_per_epoch: int) -> None:
    """It was lost once its steps were used up, and could not be raced."""
    with Launcher.start(f"{FOLDER / 'raced.py'}:breaking_off", method="fork_server") as launcher:
        limited = order(tmp_path, task="breaking_off", steps_per_epoch=steps_per_epoch)
        with ProcessArena(launcher, limited, folder=tmp_path) as arena:
            contestant = arena.enter({})
            assert arena.has_many_epochs == (steps_per_epoch == 1)
            num_steps = steps_per_epoch * limited.epochs + 1
            assert contestant.run_block(seconds=0.0, min_steps=num_steps).steps == num_steps
            assert arena.has_many_epochs
            assert arena.enter({}).run_block(seconds=0.0, min_steps=num_steps).steps == num_steps


def test_loop_with_epochs_of_its_own_is_lost_when_they_are_over(tmp_path: Path) -> None:
    with Launcher.start(f"{FOLDER / 'raced.py'}:own_epochs", method="fork_server") as launcher:
        limited = order(tmp_path, task="own_epochs")
        with (
            ProcessArena(launcher, limited, folder=tmp_path) as arena,
            pytest.raises(ContestantLostError, match="got the training's end after 2 steps; train as many"),
        ):
            arena.enter({})


@pytest.mark.slow
def test_contestants_of_spawned_processes_are_raced_too(tmp_path: Path) -> None:
    with Launcher.start(FAULTY, method="spawn") as launcher, open_arena(launcher, tmp_path) as arena:
        contestant = arena.enter({"num_workers": 1})
        blocks = [contestant.run_block(seconds=0.0, min_steps=3) for _ in range(2)]
    assert [block.steps for block in blocks] == [3, 3]


def test_fork_server_killed_in_a_race_ends_it(tmp_path: Path) -> None:
    with Launcher.start(FAULTY, method="fork_server") as launcher, open_arena(launcher, tmp_path) as arena:
        contestant = arena.enter({"num_workers": 1})
        group = group_of(pid_of_contestant())
        os.kill(os.getsid(group[0].pid), signal.SIGKILL)
        with pytest.raises(ForkServerError, match="signal SIGKILL"):
            contestant.run_block(seconds=0.0, min_steps=3)
        assert wait_until(lambda: all(is_gone(each.pid) for each in group))


def _is_contestant(process: psutil.Process) -> bool:
    try:
        return os.getpgid(process.pid) == process.pid and os.getsid(process.pid) != process.pid
    except ProcessLookupError:
        return False


@pytest.mark.parametrize("step", [0, 40], ids=["in its start", "in a block"])
def test_one_that_hangs_is_passed_over_before_the_race_is_over(launcher: Launcher, tmp_path: Path, step: int) -> None:
    """Without it the race's whole time, and what it had found, was lost to one value of one knob."""
    with ProcessArena(
        launcher, order(tmp_path, task=FAULTY, batch_size=8), folder=tmp_path, limits=Limits(patience_seconds=4.0)
    ) as arena:
        arena.enter({})
        with pytest.raises(ContestantLostError, match="got no end") as lost:
            arena.enter({"fault": "hang", "fault_step": step}).run_block(seconds=0.0, min_steps=40)
        assert lost.value.kind == "hung"
        assert arena.enter({}).run_block(seconds=0.0, min_steps=3).steps == 3


def test_start_that_takes_longer_than_its_race_has_left_is_broken_off_though_it_is_known_as_slow(
    launcher: Launcher, tmp_path: Path
) -> None:
    limits = Limits(is_slow_to_start=lambda _: True)
    with ProcessArena(launcher, order(tmp_path, task=FAULTY, batch_size=8), folder=tmp_path, limits=limits) as arena:
        arena.enter({}, limit_seconds=60.0)
        with pytest.raises(ContestantLostError, match="in the time that the race has left") as lost:
            arena.enter({"fault": "hang", "fault_step": 0}, limit_seconds=1.0)
        assert lost.value.kind == "hung"
        assert arena.enter({}).run_block(seconds=0.0, min_steps=3).steps == 3


def test_a_slow_start_is_no_hang(launcher: Launcher, tmp_path: Path) -> None:
    with ProcessArena(
        launcher,
        order(tmp_path, task=FAULTY, batch_size=8),
        folder=tmp_path,
        limits=Limits(patience_seconds=0.0, is_slow_to_start=lambda setting: setting.get("fault") == "pause"),
    ) as arena:
        arena.enter({})
        assert (
            arena.enter({"fault": "pause", "fault_step": 0}).warmed.start_seconds > 0.5
        )  # of the second that it pauses
