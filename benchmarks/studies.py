"""Runs a whole study, as a user types it, in a folder of its own with a fresh database and MLflow store."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

NAME = "bench"
"""The study's name."""
_MANY_TRIALS = 100_000
"""More than the seconds allow: the built-in specs name a number of trials, too."""


@contextmanager
def study_of(
    space: str,
    *,
    seconds: float,
    seed: int,
    settings: Mapping[str, object],
    program: Sequence[str] = ("-m", "autotune"),
) -> Iterator[str]:
    """The storage of a study that came to the end of its budget; ends the benchmark where the study failed.

    Neither a confirmation nor a model takes of its time.

    Args:
        space: Name of its spec.
        seconds: Its budget.
        seed: Of its sampler and its trials.
        settings: What else differs from the spec, as ``--set`` has it.
        program: What Python runs with the words of ``autotune``.
    """
    with tempfile.TemporaryDirectory() as folder:
        storage = f"sqlite:///{folder}/autotune.db"
        command = [sys.executable, *program, "study", "start", space, "--name", NAME, "--no-progress"]
        command += ["--storage", storage, "--tracking-uri", f"sqlite:///{folder}/mlflow.db"]
        command += ["--seconds", f"{seconds:g}", "--trials", str(_MANY_TRIALS), "--seed", str(seed)]
        for name, value in {"log_model": "false", "confirm": "{repeats: 0}", **settings}.items():
            command += ["--set", f"{name}={value}"]
        log = Path(folder) / "study.log"
        with log.open("w") as output:
            done = subprocess.run(command, cwd=folder, stdout=output, stderr=output, check=False)
        if done.returncode:
            sys.exit(f"{' '.join(command)}: ended with {done.returncode}:\n{log.read_text()}")
        yield storage
