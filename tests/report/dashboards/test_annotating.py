import os
import signal
import socket
import threading
import time
from pathlib import Path

import pytest

from autotune.coordinator.interrupts import Interrupts
from autotune.recording.database import open_database
from autotune.recording.mlflow.publication import Publication
from autotune.recording.places import Places
from autotune.recording.records import Records
from autotune.report.dashboards.annotating import LEAST_SECONDS, annotate_long_study
from tests.coordinator.simulated import NAME, make_study, study_url


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_while_mlflow_does_not_answer_leaves_notes_out_and_says_what_writes_them(
    tmp_path: Path, number: signal.Signals
) -> None:
    """The command ended with Aborted!, or by SIGTERM, before it printed what the study had found."""
    make_study(tmp_path)
    told: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}"
        publish(tmp_path, tracking_uri=uri)
        threading.Thread(target=signal_when_asked, args=(silent, number), daemon=True).start()
        places = Places(storage=study_url(tmp_path), tracking_uri=uri)
        with Interrupts() as interrupts:
            interrupts.count_one()
            is_annotated = annotate_long_study(
                NAME, places=places, elapsed_seconds=LEAST_SECONDS, interrupts=interrupts, tell=told.append
            )

    assert not is_annotated
    assert told == [
        f"stopped before the notes for the dashboards were written; `autotune study sync {NAME}` writes them"
    ]


def test_signal_that_came_before_leaves_notes_out_and_says_what_writes_them(tmp_path: Path) -> None:
    make_study(tmp_path)
    told: list[str] = []
    places = Places(storage=study_url(tmp_path), tracking_uri=f"sqlite:///{tmp_path}/mlflow.db")
    with Interrupts() as interrupts:
        interrupts.count_one()
        os.kill(os.getpid(), signal.SIGINT)
        is_annotated = annotate_long_study(
            NAME, places=places, elapsed_seconds=LEAST_SECONDS, interrupts=interrupts, tell=told.append
        )

    assert not is_annotated
    assert told == [
        f"stopped before the notes for the dashboards were written; `autotune study sync {NAME}` writes them"
    ]


def publish(folder: Path, *, tracking_uri: str) -> None:
    """The study has a run in that MLflow, as far as our rows tell."""
    engine = open_database(study_url(folder), create=False)
    publication = Publication(engine, study_id=Records(engine).study(NAME).id)
    publication.set_experiment(tracking_uri=tracking_uri, experiment_id="1", run_id="parent")
    engine.dispose()


def signal_when_asked(server: socket.socket, number: signal.Signals) -> None:
    """A signal comes while the first who asks this server waits for its answer."""
    connection, _ = server.accept()
    time.sleep(0.5)
    os.kill(os.getpid(), number)
    connection.close()
