"""A coordinator's search is killed anywhere, and another one goes on."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from autotune.goals import BASELINE_NUMBER
from autotune.search.study import Search
from tests.search.conftest import OpenStorage
from tests.search.spaces import conditional_space, finish, is_legal, plan_for, run_trials

COORDINATOR = """
import sys
from autotune.recording.engines import configure_engine
from autotune.search.storage import open_storage
from autotune.search.study import Search
from tests.search.spaces import conditional_space, finish, plan_for

storage = open_storage(sys.argv[1], configure_engine=configure_engine)
search = Search.create("study", storage=storage, plan=plan_for(conditional_space(), sampler="tpe", pruner="hyperband"))
for number in range(1000):
    print(number, flush=True)
    proposal = search.ask()
    finish(search, proposal)
"""

NUM_TRIALS = 16


@pytest.mark.parametrize("num_asked", [1, 3, 8])
@pytest.mark.slow
def test_after_kill_9_running_trials_are_adopted_and_no_number_is_lost(
    num_asked: int, database: Path, open_again: OpenStorage
) -> None:
    url = f"sqlite:///{database}"
    with subprocess.Popen([sys.executable, "-c", COORDINATOR, url], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for _ in range(num_asked):
            process.stdout.readline()
        os.kill(process.pid, signal.SIGKILL)
    plan = plan_for(conditional_space(), sampler="tpe", pruner="hyperband")
    storage = open_again()

    search = open_or_create(storage_search=open_again, plan_name="study")
    for running in search.running():
        proposal = search.adopt(running.optuna_id)
        assert proposal.number == BASELINE_NUMBER or is_legal(plan.space, proposal.parameters)
        finish(search, proposal)
    run_trials(search, count=NUM_TRIALS - len(storage.get_all_trials(search.study_id)))

    trials = storage.get_all_trials(search.study_id)
    assert [trial.number for trial in trials] == list(range(NUM_TRIALS))
    assert all(trial.state.is_finished() for trial in trials)


def open_or_create(*, storage_search: OpenStorage, plan_name: str) -> Search:
    plan = plan_for(conditional_space(), sampler="tpe", pruner="hyperband")
    storage = storage_search()
    if any(study.study_name == plan_name for study in storage.get_all_studies()):
        return Search.open(plan_name, storage=storage, plan=plan)
    return Search.create(plan_name, storage=storage, plan=plan)
