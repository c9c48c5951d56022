import os
import signal
import socket
import threading
import time
from pathlib import Path

from autotune.coordinator.retraining.reopening import Reopening, reopen
from autotune.coordinator.workplace import Workplace
from autotune.recording.places import Places
from autotune.recording.records import Records
from autotune.recording.rows import StudyRow
from tests.coordinator.simulated import NAME, Told, make_study, study_url


def test_signal_while_mlflow_does_not_answer_keeps_what_was_trained(tmp_path: Path) -> None:
    """The command ended with Aborted!, and without a word on what it had found."""
    make_study(tmp_path)
    observer = Told()

    def prepare(records: Records, study: StudyRow) -> str:
        return f"{len(records.trials(study))} trials"

    def train(workplace: Workplace, study: StudyRow, prepared: str) -> str:
        return f"{study.name}, {prepared}, on {workplace.machine.num_cores} cores"

    with socket.create_server(("127.0.0.1", 0)) as silent:
        places = Places(storage=study_url(tmp_path), tracking_uri=f"http://127.0.0.1:{silent.getsockname()[1]}")
        threading.Thread(target=signal_when_asked, args=(silent,), daemon=True).start()
        ended = reopen(Reopening(name=NAME, places=places), observer=observer, prepare=prepare, train=train)

    assert ended.result.startswith(f"{NAME}, 0 trials, on ")
    assert ended.is_interrupted
    remedy = f"`autotune study sync {NAME}` delivers them"
    assert observer.lines == [f"stopped before MLflow had the last 1 records; {remedy}"]


def signal_when_asked(server: socket.socket) -> None:
    """Ctrl-C comes while the first who asks this server waits for its answer."""
    connection, _ = server.accept()
    time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGINT)
    connection.close()
