"""A program: eight processes make a study each, in a database and an MLflow store that are not there yet."""

import importlib
import multiprocessing
import sys
from multiprocessing.synchronize import Barrier
from pathlib import Path

from autotune.recording.database import creation_lock, open_database
from autotune.recording.drafts import NewStudy
from autotune.recording.engines import configure_optuna_engine
from autotune.recording.lease import StudyLease
from autotune.recording.mlflow.store import open_client
from autotune.recording.records import Records
from autotune.recording.sqlite_file import mark_at_rest, mark_in_use
from autotune.search.storage import open_storage
from autotune.search.study import Search
from tests.coordinator.simulated import PLAN

NUM_PROCESSES = 8


def start(number: int, storage: str, tracking_uri: str, barrier: Barrier) -> None:
    """What a start of a study does to both stores, at the same moment as all others."""
    barrier.wait()
    records = Records(open_database(storage, create=True))
    with creation_lock(storage):
        optuna_storage = open_storage(storage, configure_engine=configure_optuna_engine)
    name = f"study-{number}"
    Search.create(name, storage=optuna_storage, plan=PLAN)
    study = records.create_study(NewStudy(name=name, task="t", spec_text="", spec_json="{}", seed=1))
    lease = StudyLease.acquire(records, study=study)
    mark_in_use(records.engine)
    if storage.startswith("sqlite"):  # once is enough, it takes longest
        open_client(tracking_uri).create_experiment(name)
    assert Search.open(name, storage=optuna_storage, plan=PLAN).ask() is not None
    lease.release()
    mark_at_rest(records.engine)


def main(storage: str, folder: Path) -> int:
    """Run them; how many of them failed."""
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(NUM_PROCESSES)
    tracking_uri = f"sqlite:///{folder}/mlruns/mlflow.db"
    processes = [
        context.Process(target=start, args=(number, storage, tracking_uri, barrier)) for number in range(NUM_PROCESSES)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return sum(process.exitcode != 0 for process in processes)


if __name__ == "__main__":
    importlib.import_module("mlflow.store.tracking.sqlalchemy_store")  # once, and not in each process
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
