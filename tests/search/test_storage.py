import json
import logging
import sqlite3
import subprocess
import sys
from pathlib import Path

import optuna
import pytest

from autotune.errors import StorageError
from autotune.recording.database import normalise_url
from autotune.recording.engines import configure_engine
from autotune.search.storage import open_for_reading, open_storage
from autotune.search.study import Search
from tests.search.spaces import conditional_space, plan_for, run_trials

NUM_WORKERS = 4
ASKS_EACH = 12

WORKER = """
import json, sys
from autotune.recording.engines import configure_engine
from autotune.search.storage import open_storage
from autotune.search.study import Search
from tests.search.spaces import conditional_space, plan_for

storage = open_storage(sys.argv[1], configure_engine=configure_engine)
search = Search.open("study", storage=storage, plan=plan_for(conditional_space()))
print("ready", flush=True)
sys.stdin.readline()
proposals = [search.ask() for _ in range(int(sys.argv[2]))]
print(json.dumps([(p.number, p.parameters["lr"]) for p in proposals]))
"""


def test_optuna_s_engine_writes_ahead_and_fully_synchronous(database: Path) -> None:
    storage = open_storage(f"sqlite:///{database}", configure_engine=configure_engine)

    with storage.engine.connect() as connection:
        pragmas = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous")]

    assert pragmas == ["wal", 2]


def test_a_transaction_of_optuna_holds_the_write_lock_from_its_start(database: Path) -> None:
    storage = open_storage(f"sqlite:///{database}", configure_engine=configure_engine)

    other = sqlite3.connect(database, timeout=0)
    with storage.engine.begin(), pytest.raises(sqlite3.OperationalError, match="database is locked"):
        other.execute("BEGIN IMMEDIATE")
    other.close()


def test_a_path_with_braces_is_taken_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "{SCHEMA_VERSION} {x}.db"

    open_storage(f"sqlite:///{path}", configure_engine=configure_engine).engine.dispose()

    assert path.is_file()


@pytest.mark.parametrize(
    ("version", "message"),
    [
        ("v99.0.0", "got newer ones; `pip install --upgrade optuna`, or name another database"),
        (
            "v3.0.0.a",
            "got older ones; run `autotune storage upgrade`, which makes a backup first, or name another database",
        ),
    ],
)
def test_tables_of_another_version_are_refused_in_one_line(version: str, message: str, database: Path) -> None:
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (version,))
    connection.close()

    with pytest.raises(StorageError, match=rf"^--storage: Optuna's tables must be those of optuna .*, {message}$"):
        open_storage(f"sqlite:///{database}", configure_engine=configure_engine)


def test_optuna_tells_nothing_below_a_warning(database: Path) -> None:
    optuna.logging.set_verbosity(optuna.logging.INFO)

    open_storage(f"sqlite:///{database}", configure_engine=configure_engine)

    assert optuna.logging.get_verbosity() == logging.WARNING


def test_a_reader_takes_no_write_lock(database: Path) -> None:
    storage = open_storage(f"sqlite:///{database}", configure_engine=configure_engine)
    search = Search.create("study", storage=storage, plan=plan_for(conditional_space()))
    run_trials(search, count=2)
    reader = open_for_reading(f"sqlite:///{database}")

    with storage.engine.begin():
        trials = reader.get_all_trials(search.study_id)

    assert [trial.number for trial in trials] == [0, 1]


@pytest.mark.postgres
@pytest.mark.slow
def test_a_study_on_postgresql_is_searched_and_resumed(postgres_url: str) -> None:
    url = normalise_url(postgres_url)
    plan = plan_for(conditional_space(), sampler="tpe", pruner="hyperband")
    storage = open_storage(url, configure_engine=configure_engine)
    run_trials(Search.create("study", storage=storage, plan=plan), count=4)
    storage.engine.dispose()
    storage = open_storage(url, configure_engine=configure_engine)

    search = Search.open("study", storage=storage, plan=plan)
    asked = search.ask()
    run_trials(search, count=2)

    assert [running.optuna_id for running in search.running()] == [asked.optuna_id if asked else None]
    assert [trial.number for trial in storage.get_all_trials(search.study_id)] == list(range(7))
    storage.engine.dispose()


@pytest.mark.slow
def test_processes_that_ask_at_the_same_time_get_different_trials(database: Path) -> None:
    url = f"sqlite:///{database}"
    storage = open_storage(url, configure_engine=configure_engine)
    search = Search.create("study", storage=storage, plan=plan_for(conditional_space()))
    run_trials(search, count=1)
    study = optuna.load_study(study_name="study", storage=storage)
    queued = [0.001 * (index + 1) for index in range(NUM_WORKERS * ASKS_EACH // 2)]
    for lr in queued:
        study.enqueue_trial({"lr": lr})
    command = [sys.executable, "-c", WORKER, url, str(ASKS_EACH)]
    workers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(NUM_WORKERS)
    ]

    asked = race(workers)

    assert sorted(number for number, _ in asked) == list(range(1, 1 + NUM_WORKERS * ASKS_EACH))
    assert sorted(lr for number, lr in asked if number <= len(queued)) == queued


def race(workers: list["subprocess.Popen[str]"]) -> list[tuple[int, float]]:
    for worker in workers:
        assert worker.stdout is not None
        worker.stdout.readline()
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    outputs = [worker.communicate(timeout=50)[0] for worker in workers]
    return [(number, lr) for output in outputs for number, lr in json.loads(output)]
