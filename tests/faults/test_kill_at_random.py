"""A short, seeded slice of the long campaigns: kill -9 of anything at any moment loses and doubles nothing."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.faults.killing import VICTIMS, History, Killer

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Sequence[History]:
    folder = tmp_path_factory.mktemp("undisturbed")
    return Killer(folder, storage=f"sqlite:///{folder}/autotune.db").run_undisturbed()


def test_anything_killed_at_random_moments_loses_and_doubles_nothing(
    tmp_path: Path, undisturbed: Sequence[History]
) -> None:
    killer = Killer(tmp_path, storage=f"sqlite:///{tmp_path}/autotune.db", seed=3, undisturbed=undisturbed)
    ledger = killer.run(5)
    assert ledger.violations == []
    assert ledger.num_kills == 5
    assert ledger.num_reports > 0
    killer.check_tracker("killed-0")
    assert ledger.violations == []


@pytest.mark.postgres
def test_coordinators_killed_at_random_moments_on_postgresql_lose_and_double_nothing(
    tmp_path: Path, postgres_url: str, undisturbed: Sequence[History]
) -> None:
    """They must have what a study on SQLite has, too."""
    ledger = Killer(tmp_path, storage=postgres_url, seed=4, victims=VICTIMS[:3], undisturbed=undisturbed).run(3)
    assert ledger.violations == []
    assert ledger.num_kills == 3
