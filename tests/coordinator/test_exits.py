"""What is recorded of a trial whose process is gone."""

from collections.abc import Callable
from pathlib import Path

import pytest

from autotune.coordinator.exits import MAX_OOM_RESTARTS, Exits, give_up, shortage_of
from autotune.events import Finished, Outcome
from autotune.trial.launcher import Exited
from autotune.trial.oom_killer import OomWatch

CUDNN = "RuntimeError: cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"
BY_SIGNAL_9 = Exited(137, signal=9)
WITHOUT_ITS_WORKER = Finished(outcome=Outcome.INTERRUPTED, reason="a worker was killed", is_killed_worker=True)


@pytest.fixture
def kill(tmp_path: Path) -> Callable[[Finished | None, int], Finished]:
    """What is told of a trial, after so many restarts, when the kernel has counted one more kill for memory."""
    counter = tmp_path / "memory.events"
    counter.write_text("oom_kill 4\n")
    exits = Exits(OomWatch([counter]))

    def told(last_word: Finished | None, restarts: int) -> Finished:
        counter.write_text(f"oom_kill {5 + restarts}\n")
        return exits.explain(BY_SIGNAL_9, last_word=last_word, stop=None, overdue=None, restarts=restarts)

    return told


@pytest.mark.parametrize("last_word", [None, WITHOUT_ITS_WORKER])
def test_trial_that_the_kernel_kills_again_has_run_out_of_memory(
    kill: Callable[[Finished | None, int], Finished], last_word: Finished | None
) -> None:
    """Without the mark nothing was learned of it, and the same configuration was launched and killed again."""
    ends = [kill(last_word, restarts) for restarts in range(MAX_OOM_RESTARTS + 1)]
    assert [end.outcome for end in ends] == [Outcome.INTERRUPTED, Outcome.INFEASIBLE]
    assert [end.is_out_of_memory for end in ends] == [False, True]
    assert [end.shortage for end in ends] == [None, "host"]


@pytest.mark.parametrize("last_word", [None, WITHOUT_ITS_WORKER])
def test_trial_that_the_kernel_kills_beside_others_is_not_yet_too_large(
    tmp_path: Path, last_word: Finished | None
) -> None:
    counter = tmp_path / "memory.events"
    counter.write_text("oom_kill 4\n")
    exits = Exits(OomWatch([counter]))
    counter.write_text("oom_kill 5\n")
    end = exits.explain(
        BY_SIGNAL_9, last_word=last_word, stop=None, overdue=None, restarts=MAX_OOM_RESTARTS, has_company=True
    )
    assert (end.outcome, end.is_crowded, end.is_out_of_memory) == (Outcome.INTERRUPTED, True, False)


@pytest.mark.parametrize(
    ("exited", "outcome", "reason"),
    [
        (Exited(139, signal=11), "failed", "was killed by SIGSEGV; `autotune study logs` shows where each of its"),
        (Exited(143, signal=15), "failed", "was killed by SIGTERM; `autotune study logs` shows what it wrote last"),
        (Exited(173, signal=45), "failed", "was killed by 45; `autotune study logs` shows what it wrote last"),
        (Exited(3, signal=None), "failed", "ended with status 3 and without a word; `autotune study logs` shows what"),
        (BY_SIGNAL_9, "interrupted", "was killed by SIGKILL"),
    ],
)
def test_end_that_the_process_told_nothing_of_is_named(exited: Exited, outcome: str, reason: str) -> None:
    end = Exits(OomWatch([])).explain(exited, last_word=None, stop=None, overdue=None, restarts=0)
    assert end.outcome == outcome
    assert end.reason is not None
    assert end.reason.startswith(f"its process {reason}")


def test_later_start_reads_of_what_is_recorded_whose_memory_ran_out() -> None:
    ends = [
        give_up(WITHOUT_ITS_WORKER),
        Finished(outcome=Outcome.INFEASIBLE, reason=CUDNN, is_out_of_memory=True, shortage="device"),
        Finished(outcome=Outcome.INFEASIBLE, reason="MemoryError", shortage="host"),  # beside a GPU: no lesson
    ]
    read = [shortage_of(end.reason, is_out_of_memory=end.is_out_of_memory) for end in ends]
    assert read == ["host", "device", None]
    assert [end.shortage for end in ends] == ["host", "device", "host"]


def test_trial_whose_workers_are_killed_unseen_has_run_out_of_memory() -> None:
    assert give_up(WITHOUT_ITS_WORKER).is_out_of_memory
    assert not give_up(Finished(outcome=Outcome.INTERRUPTED, reason="its process was killed")).is_out_of_memory
