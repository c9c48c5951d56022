"""A short, seeded slice of the long campaigns: kill -9 of anything at any moment loses and doubles nothing."""

from pathlib import Path

import pytest

from tests.faults.killing import VICTIMS, Killer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]  # several starts of torch on cores that may be busy


def test_anything_killed_at_random_moments_loses_and_doubles_nothing(tmp_path: Path) -> None:
    killer = Killer(tmp_path, storage=f"sqlite:///{tmp_path}/autotune.db", seed=3)
    ledger = killer.run(5)
    assert ledger.violations == []
    assert ledger.num_kills == 5
    assert ledger.num_reports > 0
    killer.check_tracker("killed-0")
    assert ledger.violations == []


@pytest.mark.postgres
def test_coordinators_killed_at_random_moments_on_postgresql_lose_and_double_nothing(
    tmp_path: Path, postgres_url: str
) -> None:
    ledger = Killer(tmp_path, storage=postgres_url, seed=4, victims=VICTIMS[:3]).run(3)
    assert ledger.violations == []
    assert ledger.num_kills == 3
