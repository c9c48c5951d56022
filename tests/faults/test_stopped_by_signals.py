"""SIGINT and SIGTERM at any moment: MLflow never says FINISHED of what was not, and the study goes on to its end."""

from pathlib import Path

import pytest

from tests.faults.signalling import INTERRUPTED, signal_study


@pytest.mark.slow
def test_no_run_is_finished_before_its_trial_whenever_a_signal_comes(tmp_path: Path, empty_store: Path) -> None:
    signalled = signal_study(tmp_path, num_signals=2, seed=1, store=empty_store)
    assert signalled.violations == []
    assert INTERRUPTED in signalled.statuses, "one of the signals came in time"
