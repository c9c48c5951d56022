"""A trial is killed while it writes its checkpoint: the one before loads, and no reported epoch is lost."""

from pathlib import Path

import pytest

from tests.faults.checkpoint_killing import kill_writers

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]  # dozens of forks on cores that may be busy


def test_checkpoint_killed_at_every_step_of_its_write_and_at_random_moments(tmp_path: Path) -> None:
    """Else a resume would find half a file, and hours of training would be gone."""
    ledger = kill_writers(tmp_path, num_kills=6, seed=1, has_steps=True)
    assert ledger.violations == []
    assert ledger.num_kills > 6 + 20, "every step of a write was one kill, and there are dozens"
    assert ledger.num_inside > 20
    # Those that died at a step or a byte, one that had no step left to die at, and those with six kills between them.
    assert ledger.num_trials >= ledger.num_kills - 6 + 2, "each went on to its end"
